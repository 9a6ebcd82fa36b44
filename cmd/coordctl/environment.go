package main

import (
	"strings"

	"coordd.dev/client"
)

// The environment of a child.
const (
	envToken     = "COORD_FENCING_TOKEN"
	envName      = "COORD_LOCK_NAME"
	envKind      = "COORD_LOCK_KIND"
	envSession   = "COORD_SESSION_ID"
	envLineage   = "COORD_LINEAGE"
	envElement   = "COORD_ELEMENT"
	envAttempt   = "COORD_ATTEMPT"
	envEndpoints = "COORD_ENDPOINTS"
	envTokenFile = "COORD_TOKEN_FILE"
)

// childEnv is the environment of the command. What outer runs left is taken out, so
// that nobody takes an outer token for the inner lock's.
func childEnv(environ []string, held claim, token client.Token, session client.SessionID, ancestors lineage) []string {
	env := make([]string, 0, len(environ)+7)
	for _, kv := range environ {
		switch key, _, _ := strings.Cut(kv, "="); key {
		case envToken, envName, envKind, envSession, envLineage, envElement, envAttempt:
		default:
			env = append(env, kv)
		}
	}
	if token != 0 {
		env = append(env, envToken+"="+token.String())
	}
	if held.kind != kindWaitGroup { // it is no hold: nobody can wait for it to be let go
		ancestors = ancestors.with(held)
	}
	return append(env,
		envName+"="+held.name,
		envKind+"="+held.kind,
		envSession+"="+string(session),
		envLineage+"="+ancestors.String())
}
