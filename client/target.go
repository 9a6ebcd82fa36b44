package client

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	defaultTarget = "127.0.0.1:7600"
	maxEndpoints  = 64
)

// endpoints reads a target as Dial documents it.
func endpoints(target string) ([]string, error) {
	target = cmp.Or(target, os.Getenv("COORD_ENDPOINTS"), defaultTarget)
	var addrs []string
	var faults []error
	for _, addr := range strings.Split(target, ",") {
		addr = strings.TrimSpace(addr)
		switch host, port, err := net.SplitHostPort(addr); {
		case err != nil || host == "" || port == "":
			faults = append(faults, fmt.Errorf("%w: endpoint %q is not host:port", ErrInvalid, addr))
		case !slices.Contains(addrs, addr):
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) > maxEndpoints {
		faults = append(faults, fmt.Errorf("%w: %d endpoints, more than %d", ErrInvalid, len(addrs), maxEndpoints))
	}
	return addrs, errors.Join(faults...)
}

// checkName refuses what no object can be called.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalid)
	case len(name) > maxName:
		return fmt.Errorf("%w: the name has %d bytes, more than %d", ErrInvalid, len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the name is not UTF-8", ErrInvalid)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: the name has a control character", ErrInvalid)
	}
	return nil
}
