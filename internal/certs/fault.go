package certs

import "strings"

// A Fault is what keeps a client from using a port, in words that stand after its address.
type Fault string

// What can be wrong, as the client sees it.
const (
	FaultAuthority Fault = "its certificate is of a CA that is not trusted here"
	FaultTime      Fault = "its certificate has expired, or is not valid yet"
	FaultHost      Fault = "its certificate is for another host"
	FaultPlain     Fault = "it speaks plain text, and not TLS"
	FaultNone      Fault = "it demands a client certificate"
	FaultStranger  Fault = "it does not trust the CA of this client's certificate"
	FaultExpired   Fault = "the client certificate has expired, or is not valid yet"
	FaultRefused   Fault = "it refuses the client certificate"
	FaultVersion   Fault = "it speaks no TLS 1.3, or wants another version"
	FaultHungUp    Fault = "it hung up: it is not ready, or wants TLS or another certificate"
)

// FaultOf reads what gRPC, whose errors have lost their types, says of a connection; empty if
// it is not about this.
func FaultOf(message string) Fault {
	if f := faultIn(message); f != "" {
		return f
	}
	for _, f := range []struct {
		part  string
		fault Fault
	}{
		{"certificate signed by unknown authority", FaultAuthority},
		{"certificate has expired or is not yet valid", FaultTime},
		{"first record does not look like a TLS handshake", FaultPlain},
		{"remote error: tls: certificate required", FaultNone},
		{"remote error: tls: unknown certificate authority", FaultStranger},
		{"remote error: tls: expired certificate", FaultExpired},
		{"remote error: tls: bad certificate", FaultRefused},
		{"remote error: tls: unsupported certificate", FaultRefused},
		{"protocol version not supported", FaultVersion},
	} {
		if strings.Contains(message, f.part) {
			return f.fault
		}
	}
	if _, detail, found := strings.Cut(message, "failed to verify certificate: x509: "); found {
		return FaultHost + Fault(": "+strings.Trim(detail, `"`))
	}
	// Whoever is hung up on may lose the alert that says why.
	cut := strings.Contains(message, "EOF") || strings.Contains(message, "connection reset")
	early := strings.Contains(message, "error reading server preface") || strings.Contains(message, "authentication handshake failed")
	if cut && early || strings.Contains(message, "broken pipe") {
		return FaultHungUp
	}
	return ""
}

// faultIn finds a Fault that stands in the message already.
func faultIn(message string) Fault {
	for _, f := range []Fault{FaultAuthority, FaultTime, FaultHost, FaultPlain, FaultNone, FaultStranger,
		FaultExpired, FaultRefused, FaultVersion, FaultHungUp} {
		if strings.Contains(message, string(f)) {
			return f
		}
	}
	return ""
}
