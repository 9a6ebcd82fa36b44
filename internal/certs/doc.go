// Package certs is the TLS of all doors of a cluster: certificates and CAs from files, which
// are read again when they change; what a port asks of who connects, and a client of a port; who
// a certificate speaks for; and a small CA for development. It is crypto/tls with the decisions
// made.
//
// # Invariants
//
//  1. TLS is 1.3 or there is no connection.
//  2. What is on disk counts for the next handshake, without a restart: certificate, key and
//     CAs. Sessions are not resumed, so that a CA that was taken out is out.
//  3. Files that cannot be used replace nothing: the last good ones stay, and a warning says
//     why. At the start there are none yet, and then it is an error.
//  4. A certificate speaks for one principal or for none: its one URI, else its Subject's
//     common name. Two URIs are nobody. One that no CA has vouched for is nobody.
//  5. Nothing that exists is overwritten; what is written only its owner can read.
//
// Files are looked at in each handshake, and not at most once a second, nor by notification:
// three stats cost a hundredth of the signature that follows, and then no clock and no
// goroutine are needed, and there is no second in which a file that was replaced is not seen.
//
// It does not revoke single certificates (there is no list of them that is asked): make them
// short-lived, or replace the CA.
package certs
