package main

import (
	"encoding/base64"
	"unicode/utf8"

	"coordd.dev/client"
)

// A named is a codec that takes bytes as they are, for what programs have encoded under another
// name.
type named struct {
	client.Codec
	name string
}

func (n named) Name() string { return n.name }

// rawAs is the codec that leaves bytes as they are, by name.
func rawAs(name string) client.Codec { return named{client.Raw(), name} }

// A bytesView is bytes as JSON has them: text if they are that.
type bytesView struct {
	Text   *string `json:"value,omitempty"`
	Base64 string  `json:"base64,omitempty"` // what is not UTF-8
}

func bytesViewOf(b []byte) bytesView {
	if utf8.Valid(b) {
		return bytesView{Text: new(string(b))}
	}
	return bytesView{Base64: base64.StdEncoding.EncodeToString(b)}
}

const codecUsage = "`name` of the encoding, stored with it; the bytes are taken as they are (a Go program's default is json)"
