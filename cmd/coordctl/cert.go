package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coordd.dev/internal/certs"
)

const (
	defaultCertDir = "coord-certs"
	caLife         = 10 * 365 * 24 * time.Hour
	certLife       = 365 * 24 * time.Hour
	backdate       = 5 * time.Minute // for clocks that are behind this one
	firstClient    = "admin"
)

// isFileName reports whether a file can be named after a principal or a host.
func isFileName(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_@][A-Za-z0-9._@:-]*$`).MatchString(s)
}

// A certOrder is the command line of cert init, node and client.
type certOrder struct {
	*app
	what string
	dir  string
	now  time.Time
}

func (a *app) certCommand() *cobra.Command {
	o := &certOrder{app: a}
	group := &cobra.Command{
		Use:   "cert",
		Short: "Make certificates for development",
		Long: `Make certificates for development and for small clusters: a CA whose key lies in a
directory, and what it signs. Nothing that is there is overwritten: to replace a certificate,
move the old one away; what uses it reads the new one by itself.`,
		Example: `  coordctl cert init --hosts n1.example,10.0.0.1
  coordctl cert client alice
  coordctl cert node n4.example 10.0.0.4`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.PersistentFlags().StringVar(&o.dir, "dir", defaultCertDir, "`directory` of the CA and of what it signs")
	group.AddCommand(o.initCommand(), o.nodeCommand(), o.clientCommand())
	for _, cmd := range append(group.Commands(), group) {
		cmd.Annotations = map[string]string{offline: ""}
	}
	return group
}

func (o *certOrder) initCommand() *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init [--hosts HOST,...]",
		Short: "Make a CA, a node's certificate and a client's",
		Long: `Make a CA (ca.pem), a certificate for the nodes (node.pem) and one for the client "` + firstClient + `"
(client-` + firstClient + `.pem), each with its key, and say how they are used. The nodes' is good for this
machine's loopback and for the hosts given; nodes may share it, or have their own (cert node).`,
		Example: `  coordctl cert init
  coordctl cert init --dir certs --hosts n1.example,n2.example,n3.example`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd, hosts); err != nil {
				return err
			}
			for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
				if !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
			}
			return o.init(hosts)
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "hosts", nil, "names and addresses of the nodes, besides loopback")
	return cmd
}

func (o *certOrder) nodeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "node HOST...",
		Short: "Make a node's certificate, for its names and addresses",
		Long: `Make a node's certificate, of the CA in the directory, good for the names and addresses at
which clients and other nodes reach it: --advertise-client and --advertise-peer, or where it listens.`,
		Example: `  coordctl cert node n4.example 10.0.0.4`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse(cmd, "takes at least 1 argument, the node's name or address")
			}
			if err := o.check(cmd, args); err != nil {
				return err
			}
			return o.issue("node-"+args[0], certs.Subject{Name: args[0], Hosts: args})
		},
	}
}

func (o *certOrder) clientCommand() *cobra.Command {
	var uri string
	cmd := &cobra.Command{
		Use:   "client NAME",
		Short: "Make a client's certificate, for the principal NAME",
		Example: `  coordctl cert client alice
  coordctl cert client billing --uri spiffe://example.org/billing`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, args); err != nil {
				return err
			}
			return o.issue("client-"+args[0], certs.Subject{Name: args[0], URI: uri})
		},
	}
	cmd.Flags().StringVar(&uri, "uri", "", "a `URI` that is the principal instead of NAME: spiffe://...")
	return cmd
}

// check looks at names that files are named after, and that a certificate is for.
func (o *certOrder) check(cmd *cobra.Command, names []string) error {
	o.what, o.now = strings.TrimPrefix(cmd.CommandPath(), "coordctl "), time.Now()
	for _, name := range names {
		if !isFileName(name) {
			return misuse(cmd, show(name)+": letters, digits and . _ - @ only, without a port")
		}
		if _, port, err := net.SplitHostPort(name); err == nil && net.ParseIP(name) == nil {
			return misuse(cmd, show(name)+": without the port "+port)
		}
	}
	return nil
}

func (o *certOrder) path(name string) string    { return filepath.Join(o.dir, name+".pem") }
func (o *certOrder) keyPath(name string) string { return filepath.Join(o.dir, name+"-key.pem") }

// init writes nothing unless it can write all.
func (o *certOrder) init(hosts []string) error {
	client := "client-" + firstClient
	for _, name := range []string{"ca", "node", client} {
		for _, path := range []string{o.path(name), o.keyPath(name)} {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return o.failed(fmt.Errorf("%s is there already", path), "choose another --dir, or move it away")
			}
		}
	}
	ca, err := certs.NewAuthority("coordd development CA", o.now.Add(-backdate), o.now.Add(caLife))
	if err == nil {
		err = ca.Write(o.path("ca"), o.keyPath("ca"))
	}
	if err != nil {
		return o.failed(err, "")
	}
	if err := o.sign(ca, "node", certs.Subject{Name: "node", Hosts: hosts}); err != nil {
		return err
	}
	if err := o.sign(ca, client, certs.Subject{Name: firstClient}); err != nil {
		return err
	}
	return o.tell(hosts, client)
}

// issue signs one certificate more, by the CA in the directory.
func (o *certOrder) issue(name string, s certs.Subject) error {
	ca, err := certs.ReadAuthority(o.path("ca"), o.keyPath("ca"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o.failed(fmt.Errorf("there is no CA in %s", o.dir), "make one: coordctl cert init --dir "+wholly(o.dir))
	case err != nil:
		return o.failed(err, "")
	}
	if err := o.sign(ca, name, s); err != nil {
		return err
	}
	view := certView{CA: o.path("ca"), Cert: o.path(name), Key: o.keyPath(name)}
	return o.render(view, func(t *table) {
		t.row("CERTIFICATE", view.Cert)
		t.row("KEY", view.Key)
	})
}

type certView struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

func (o *certOrder) sign(ca *certs.Authority, name string, s certs.Subject) error {
	s.From, s.Until = o.now.Add(-backdate), o.now.Add(certLife)
	pair, err := ca.Issue(s)
	if err == nil {
		err = pair.Write(o.path(name), o.keyPath(name))
	}
	next := ""
	if errors.Is(err, fs.ErrExist) {
		next = "move it away first: nothing is overwritten"
	}
	if err != nil {
		return o.failed(err, next)
	}
	return nil
}

func (o *certOrder) failed(err error, next string) error {
	return &failure{what: o.what, why: err.Error(), next: next, code: exitFailed}
}

// tell says how what was made is used.
func (o *certOrder) tell(hosts []string, client string) error {
	view := struct {
		Node   certView `json:"node"`
		Client certView `json:"client"`
		Hosts  []string `json:"hosts"`
	}{
		certView{o.path("ca"), o.path("node"), o.keyPath("node")},
		certView{o.path("ca"), o.path(client), o.keyPath(client)},
		hosts,
	}
	if o.output == asJSON {
		return o.render(view, nil)
	}
	quoted := func(v certView) certView { return certView{wholly(v.CA), wholly(v.Cert), wholly(v.Key)} }
	n, c := quoted(view.Node), quoted(view.Client)
	return o.text(fmt.Sprintf(`made in %s: a CA, a certificate for nodes at %s, and one for the client %q.
Keep ca-key.pem to yourself: who has it can be any node and any client.

On each node, besides its addresses:

  coordd --cert-file %s --key-file %s --trusted-ca-file %s --client-cert-auth \
    --peer-cert-file %s --peer-key-file %s --peer-trusted-ca-file %s

Clients:

  export COORD_CACERT=%s COORD_CERT=%s COORD_KEY=%s
  coordctl status
`, o.dir, strings.Join(hosts, ", "), firstClient, n.Cert, n.Key, n.CA, n.Cert, n.Key, n.CA, c.CA, c.Cert, c.Key))
}
