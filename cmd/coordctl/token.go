package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"coordd.dev/client"
	"coordd.dev/internal/durable"
)

// tokenBytes is how much of a token is random.
const tokenBytes = 32

// tokenPath is the file that a token is read from, "" for none.
func (a *app) tokenPath() string {
	if a.tokenFile != "" {
		return a.tokenFile
	}
	return a.getenv(envTokenFile)
}

// withToken has each call of a connection carry the token.
func (a *app) withToken(options []grpc.DialOption) ([]grpc.DialOption, error) {
	path := a.tokenPath()
	if path == "" {
		return options, nil
	}
	token, err := client.TokenFile(path)
	if err != nil {
		return nil, &failure{what: err.Error(), next: "make one: coordctl token new FILE", code: exitUsage}
	}
	return append(options, grpc.WithPerRPCCredentials(token)), nil
}

func (a *app) tokenCommand() *cobra.Command {
	group := &cobra.Command{
		Use:     "token",
		Short:   "Make a token for a program to show who it is",
		Example: `  coordctl token new deployer.token`,
		Args:    noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(&cobra.Command{
		Use:   "new FILE",
		Short: "Write a new token to a file, and print its SHA-256",
		Long: `Write a new token, of 256 random bits, to a file that must not exist yet, and print the line
that coordd's credentials file needs of it: its SHA-256. The token itself is in no other
place. Give the file to the program that is to show it: coordctl takes it by --token-file or
COORD_TOKEN_FILE, the Go client by WithCredentialsFile, curl by
-H "Authorization: Bearer $(cat FILE)". In the credentials file:

  {"principals": [{"name": "deployer",
     "tokens": [{"sha256": "9f86d0...", "expires": "2027-01-31T12:00:00Z"}],
     "rules": [{"kind": "lock", "name": "deploy*", "verbs": ["read", "acquire"]}]}]}`,
		Example: `  coordctl token new deployer.token`,
		Args:    exactly(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.newToken(args[0]) },
	})
	return group
}

type tokenView struct {
	SHA256 string `json:"sha256"`
}

func (a *app) newToken(path string) error {
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // never fails
	token := base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	if err := durable.CreateFile(path, []byte(token+"\n")); err != nil {
		fail := &failure{what: "token new", why: err.Error(), code: exitFailed}
		if errors.Is(err, fs.ErrExist) {
			fail.next = "name another file, or remove that one"
		}
		return fail
	}
	v := tokenView{hex.EncodeToString(sum[:])}
	return a.render(v, func(t *table) { t.row(fmt.Sprintf("{\"sha256\": %q}", v.SHA256)) })
}
