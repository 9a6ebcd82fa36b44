package telemetry

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// rows are those of the table in docs/telemetry.md whose head begins with the word, but for
// the last column, which is for people.
func rows(t *testing.T, head string) []string {
	t.Helper()
	data, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(data), "\n| "+head+" |")
	if !ok {
		t.Fatalf("docs have no table of %ss", head)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var all []string
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		row := strings.Join(cells[:len(cells)-1], " | ")
		all = append(all, strings.Trim(strings.ReplaceAll(row, "`", ""), " |"))
	}
	slices.Sort(all)
	return all
}

// everything records with every instrument.
func everything(t *testing.T) metricdata.ResourceMetrics {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	NewLog(nil, mp).Committed(Entry{})
	s := NewServer(nil, mp, func() Gauges { return Gauges{} })
	s.Lead(true)
	s.Waited(Lock, Exclusive, Granted, 0)
	s.Held(Lock, Exclusive, Released, 0)
	s.Entry(0)
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// describe is a row of the table of metrics.
func describe(m metricdata.Metrics) string {
	kind, set := "", attribute.Set{}
	switch d := m.Data.(type) {
	case metricdata.Histogram[float64]:
		kind, set = "histogram", d.DataPoints[0].Attributes
	case metricdata.Histogram[int64]:
		kind, set = "histogram", d.DataPoints[0].Attributes
	case metricdata.Gauge[int64]:
		kind = "gauge"
	case metricdata.Sum[int64]:
		kind = "updowncounter"
		if d.IsMonotonic {
			kind = "counter"
		}
	}
	var keys []string
	for _, kv := range set.ToSlice() {
		keys = append(keys, string(kv.Key))
	}
	slices.SortFunc(keys, func(a, b string) int { return order(a) - order(b) })
	return strings.Trim(fmt.Sprintf("%s | %s | %s | %s", m.Name, kind, m.Unit, strings.Join(keys, ", ")), " |")
}

// order is that of attributes in the docs: kind, mode, then how it ended.
func order(key string) int {
	return slices.Index([]string{string(keyKind), string(keyMode), string(keyOutcome), string(keyEnd)}, key)
}

func TestDocumentedMetrics(t *testing.T) {
	var got []string
	for _, s := range everything(t).ScopeMetrics {
		for _, m := range s.Metrics {
			got = append(got, describe(m))
			if m.Description == "" {
				t.Errorf("%s has no description", m.Name)
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(rows(t, "metric"), got); diff != "" {
		t.Errorf("docs/telemetry.md and the metrics differ (-docs +registered):\n%s", diff)
	}
}

func TestDocumentedAttributes(t *testing.T) {
	data, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	for key, words := range map[attribute.Key][]string{
		keyKind: words(kinds), keyMode: words(modes), keyOutcome: words(outcomes), keyEnd: words(ends),
	} {
		_, row, _ := strings.Cut(string(data), "| `"+string(key)+"` |")
		row, _, _ = strings.Cut(row, "\n")
		var got []string
		for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row, -1) {
			got = append(got, m[1])
		}
		if diff := cmp.Diff(got, words); diff != "" {
			t.Errorf("docs/telemetry.md and the values of %s differ (-docs +code):\n%s", key, diff)
		}
	}
}

// words are the values below n.
func words[T interface {
	~uint8
	fmt.Stringer
}](n T) (all []string) {
	for v := T(1); v < n; v++ {
		all = append(all, v.String())
	}
	return all
}

func TestDocumentedSpans(t *testing.T) {
	tp, spans := recording()
	parent, now := contextOf(trace.FlagsSampled), time.Now()
	NewLog(tp, nil).Proposal(parent).End(&Entry{Index: 1, Handed: now, Returned: now}, nil)
	NewServer(tp, nil, func() Gauges { return Gauges{} }).Applied(parent, 1, now, now)
	var got []string
	for _, s := range spans.Ended() {
		var keys []string
		for _, kv := range s.Attributes() {
			keys = append(keys, string(kv.Key))
		}
		slices.Sort(keys)
		slices.Reverse(keys)
		got = append(got, strings.Trim(s.Name()+" | "+strings.Join(keys, ", "), " |"))
	}
	slices.Sort(got)
	if diff := cmp.Diff(rows(t, "span"), got); diff != "" {
		t.Errorf("docs/telemetry.md and the spans differ (-docs +made):\n%s", diff)
	}
}
