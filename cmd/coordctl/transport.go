package main

import (
	"cmp"
	"crypto/tls"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coordd.dev/client"
	"coordd.dev/internal/certs"
)

// The environment of what the flags of the same names are.
const (
	envCA   = "COORD_CACERT"
	envCert = "COORD_CERT"
	envKey  = "COORD_KEY"
)

// offline marks the commands that speak to nobody, and so need nothing to speak with.
const offline = "speaks to nobody"

// A transport is how nodes are spoken to.
type transport struct {
	files      certs.Files
	serverName string
	conf       *tls.Config // nil: plain text
}

func (s *transport) flags(f *pflag.FlagSet) {
	f.StringVar(&s.files.CA, "cacert", "", "`file` with the CA of the nodes' certificates; has everything speak TLS (default $"+envCA+")")
	f.StringVar(&s.files.Cert, "cert", "", "`file` with this client's certificate (default $"+envCert+")")
	f.StringVar(&s.files.Key, "key", "", "`file` with its key (default $"+envKey+")")
	f.StringVar(&s.serverName, "server-name", "", "`name` that the nodes' certificates have, if it is not the endpoint's")
}

// secure reads the certificates, if any are given. A flag goes before the environment.
func (a *app) secure(cmd *cobra.Command) error {
	if _, needless := cmd.Annotations[offline]; needless {
		return nil
	}
	s := &a.secured
	s.files.CA = cmp.Or(s.files.CA, a.getenv(envCA))
	s.files.Cert = cmp.Or(s.files.Cert, a.getenv(envCert))
	s.files.Key = cmp.Or(s.files.Key, a.getenv(envKey))
	switch {
	case s.files.Cert == "" && s.files.Key != "":
		return misuse(cmd, "--key without --cert, and there is no "+envCert)
	case s.files.Cert != "" && s.files.Key == "":
		return misuse(cmd, "--cert without --key, and there is no "+envKey)
	case s.files != certs.Files{}:
	case s.serverName != "":
		return misuse(cmd, "--server-name without --cacert: without TLS nodes have no certificates")
	default:
		return nil
	}
	source, err := certs.Open(s.files, slog.New(slog.DiscardHandler))
	if err != nil {
		fail := misuse(cmd, err.Error())
		fail.next = ""
		return fail
	}
	s.conf = source.Client(s.serverName)
	return nil
}

// netOptions are how the client speaks to nodes.
func (a *app) netOptions() (options []client.Option) {
	switch {
	case a.secured.conf != nil:
		options = append(options, client.WithTLS(a.secured.conf))
	case a.insecure:
		options = append(options, client.WithInsecure())
	}
	if path := a.tokenPath(); path != "" {
		options = append(options, client.WithCredentialsFile(path))
	}
	return options
}

// netFlags are those that another command line must have to speak in the same way, but for
// what the environment gives it, each with a space behind it.
func (a *app) netFlags() (line string) {
	for _, f := range []struct{ flag, value, env string }{
		{"--cacert", a.secured.files.CA, a.getenv(envCA)},
		{"--cert", a.secured.files.Cert, a.getenv(envCert)},
		{"--key", a.secured.files.Key, a.getenv(envKey)},
		{"--server-name", a.secured.serverName, ""},
		{"--token-file", a.tokenFile, ""},
	} {
		if f.value != f.env {
			line += f.flag + " " + wholly(f.value) + " "
		}
	}
	if a.insecure {
		line += "--insecure-allow-remote "
	}
	return line
}

// nextFor says what to do where no node could be used.
func nextFor(message string) string {
	switch f := certs.FaultOf(message); f {
	case "":
		return "start one: coordd dev"
	case certs.FaultAuthority:
		return "give the CA of the nodes: --cacert FILE"
	case certs.FaultTime:
		return "give the node another, which it reads by itself: coordctl cert node; or see to this machine's clock"
	case certs.FaultPlain:
		return "leave out --cacert and --cert, or give the node --cert-file"
	case certs.FaultNone:
		return "give one: --cert FILE --key FILE"
	case certs.FaultStranger, certs.FaultRefused:
		return "give one of the CA in the node's --trusted-ca-file: --cert FILE --key FILE"
	case certs.FaultExpired:
		return "make another: coordctl cert client"
	case certs.FaultVersion:
		return "see what listens there"
	case certs.FaultHungUp:
		return "look at /readyz; if it wants TLS: --cacert FILE"
	default: // another host, with the names behind it
		return "use a name that it has: in --endpoints, or as --server-name"
	}
}
