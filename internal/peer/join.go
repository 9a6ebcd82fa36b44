package peer

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxJoin bounds a join list: raft gets slower with each voter, and nobody runs more.
const maxJoin = 64

// ParseJoin checks a join list and returns it sorted, as nodes compare it. The same
// node under two names is found later, when it answers.
func ParseJoin(list []string) ([]string, error) {
	var errs []error
	join := make([]string, 0, len(list))
	for _, a := range list {
		a = strings.TrimSpace(a)
		if err := CheckAddress(a); err != nil {
			errs = append(errs, err)
		}
		join = append(join, a)
	}
	slices.Sort(join)
	for i := 1; i < len(join); i++ {
		if join[i] == join[i-1] {
			errs = append(errs, fmt.Errorf("address %s is there twice", join[i]))
		}
	}
	if len(join) > maxJoin {
		errs = append(errs, fmt.Errorf("%d addresses, more than %d", len(join), maxJoin))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("read join list: %w", err)
	}
	return join, nil
}

// CheckAddress says whether others can be told the address: host:port, no wildcard.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q: port must be a number from 1 to 65535", address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %q means every interface, which nobody can dial: name one", address)
	}
	if len(address) > maxString {
		return fmt.Errorf("address of %d bytes, more than %d", len(address), maxString)
	}
	return nil
}
