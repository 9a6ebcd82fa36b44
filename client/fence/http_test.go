package fence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

// A recorder is a RoundTripper that only keeps what it was given.
type recorder struct{ got *http.Request }

var errSent = errors.New("sent")

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.got = req
	return nil, errSent
}

func TestTransport(t *testing.T) {
	ctx := t.Context()
	with := client.ContextWithToken(ctx, 41)
	for name, c := range map[string]struct {
		ctx    context.Context
		header http.Header
		want   []string
	}{
		"a token":                {with, http.Header{"Accept": {"x"}}, []string{"41"}},
		"the innermost":          {client.ContextWithToken(with, 42), http.Header{}, []string{"42"}},
		"in place of another":    {with, http.Header{fence.Header: {"7", "8"}}, []string{"41"}},
		"no header map":          {with, nil, []string{"41"}},
		"no token":               {ctx, http.Header{"Accept": {"x"}}, nil},
		"token 0 is none":        {client.ContextWithToken(with, 0), http.Header{}, nil},
		"no token, set by hand":  {ctx, http.Header{fence.Header: {"7"}}, []string{"7"}},
		"token 0, a header left": {client.ContextWithToken(ctx, 0), http.Header{fence.Header: {"7"}}, []string{"7"}},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(c.ctx, http.MethodPut, "http://billing/orders/42", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = maps.Clone(c.header)
			var base recorder
			if _, err := (&fence.Transport{Base: &base}).RoundTrip(req); !errors.Is(err, errSent) {
				t.Fatal(err)
			}
			if got := base.got.Header.Values(fence.Header); !reflect.DeepEqual(got, c.want) {
				t.Errorf("sent %q, not %q", got, c.want)
			}
			if base.got.Body != req.Body || base.got.Header.Get("Accept") != c.header.Get("Accept") {
				t.Error("the rest of the request is lost")
			}
			if !reflect.DeepEqual(req.Header, c.header) {
				t.Errorf("the caller's request was changed: %v, was %v", req.Header, c.header)
			}
		})
	}
}

func TestHandler(t *testing.T) {
	for _, c := range []struct {
		header []string
		code   int
		body   string // what it begins with
	}{
		{nil, http.StatusOK, "0 false"},
		{[]string{"41"}, http.StatusOK, "41 true"},
		{[]string{"9223372036854775807"}, http.StatusOK, "9223372036854775807 true"},
		{[]string{"9223372036854775808"}, http.StatusBadRequest, `header Fencing-Token: "9223372036854775808" is not a decimal number from 1 to 9223372036854775807`},
		{[]string{"0"}, http.StatusBadRequest, `header Fencing-Token: "0" is not`},
		{[]string{"-41"}, http.StatusBadRequest, `header Fencing-Token: "-41" is not`},
		{[]string{"forty"}, http.StatusBadRequest, `header Fencing-Token: "forty" is not`},
		{[]string{""}, http.StatusBadRequest, `header Fencing-Token: "" is not`},
		{[]string{"41", "41"}, http.StatusBadRequest, "header Fencing-Token: it is there more than once"},
	} {
		served := false
		h := fence.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served = true
			token, ok := client.TokenFrom(r.Context())
			fmt.Fprint(w, token, " ", ok)
		}))
		req := httptest.NewRequest(http.MethodPut, "/orders/42", nil)
		if c.header != nil {
			req.Header["Fencing-Token"] = c.header
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != c.code || !strings.HasPrefix(w.Body.String(), c.body) {
			t.Errorf("%q: %d %s", c.header, w.Code, w.Body)
		}
		if served != (c.code == http.StatusOK) {
			t.Errorf("%q: served: %v", c.header, served)
		}
	}
}

// Over a real connection, with the default transport below.
func TestTransportToHandler(t *testing.T) {
	srv := httptest.NewServer(fence.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := client.TokenFrom(r.Context())
		fmt.Fprint(w, token)
	})))
	defer srv.Close()
	hc := &http.Client{Transport: &fence.Transport{}}
	req, err := http.NewRequestWithContext(client.ContextWithToken(t.Context(), 41), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "41" {
		t.Errorf("%q, %v", b, err)
	}
}
