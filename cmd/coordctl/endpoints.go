package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const defaultEndpoint = "127.0.0.1:7600"

// targets returns the endpoints to talk to: flag, else environment, else default.
// The error says what is wrong with the first bad one.
func (a *app) targets() ([]string, error) {
	from, list := "--endpoints", a.endpoints
	if list == "" {
		from, list = envEndpoints, a.getenv(envEndpoints)
	}
	if list == "" {
		return []string{defaultEndpoint}, nil
	}
	var out []string
	for endpoint := range strings.SplitSeq(list, ",") {
		endpoint = strings.TrimSpace(endpoint)
		if err := checkEndpoint(endpoint, a.insecure || a.secured.conf != nil, a.tokenPath() != "" && a.secured.conf == nil); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", from, show(endpoint), err)
		}
		out = append(out, endpoint)
	}
	return out, nil
}

// checkEndpoint wants one on loopback, unless it may be anywhere, which with a token in plain
// text none may.
func checkEndpoint(endpoint string, anywhere, token bool) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }) {
		return errors.New("not host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("port is not 1 to 65535")
	}
	if !anywhere && !loopback(host) {
		return errors.New("it is beyond loopback, and there is no TLS: give --cacert, or --insecure-allow-remote in a network you trust")
	}
	if token && !loopback(host) {
		return errors.New("a token goes over TLS, or to loopback")
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
