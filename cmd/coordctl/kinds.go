package main

import (
	"fmt"
	"slices"
	"strings"

	coordv1 "coordd.dev/api/coord/v1"
)

// A topic is what get, describe and explain can be asked about.
type topic struct {
	one, many string
	short     []string     // other words for it
	kind      coordv1.Kind // of objects; else unspecified
}

func topics() []topic {
	return []topic{
		{one: kindLock, many: "locks", short: []string{"lk", "mutex"}, kind: coordv1.Kind_KIND_LOCK},
		{one: kindSemaphore, many: "semaphores", short: []string{"sem", "sems"}, kind: coordv1.Kind_KIND_SEMAPHORE},
		{one: kindElection, many: "elections", short: []string{"elect", "el"}, kind: coordv1.Kind_KIND_ELECTION},
		{one: kindChannel, many: "channels", short: []string{"ch", "chan", "chans"}, kind: coordv1.Kind_KIND_CHAN},
		{one: kindWaitGroup, many: "waitgroups", short: []string{"wg", "wgs"}, kind: coordv1.Kind_KIND_WAIT_GROUP},
		{one: "once", many: "onces", kind: coordv1.Kind_KIND_ONCE},
		{one: "cond", many: "conds", kind: coordv1.Kind_KIND_COND},
		{one: "map", many: "maps", kind: coordv1.Kind_KIND_MAP},
		{one: "session", many: "sessions", short: []string{"sess"}},
		{one: "member", many: "members", short: []string{"mem", "node", "nodes"}},
	}
}

// objectTopics are those of objects, in the order in which they are listed.
func objectTopics() []topic {
	return slices.DeleteFunc(topics(), func(t topic) bool { return !t.object() })
}

func (t topic) object() bool { return t.kind != coordv1.Kind_KIND_UNSPECIFIED }

// topicOf finds a topic by any of its words.
func topicOf(word string) (topic, error) {
	for _, t := range topics() {
		if word == t.one || word == t.many || slices.Contains(t.short, word) {
			return t, nil
		}
	}
	return topic{}, fmt.Errorf("no kind %s; there are %s", show(word), words(topics()))
}

// words are the kinds as a list for people.
func words(of []topic) string {
	var all []string
	for _, t := range of {
		all = append(all, t.many)
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// kindWord is what a kind of object is called; one of a later version has a number.
func kindWord(k coordv1.Kind) string {
	for _, t := range topics() {
		if t.kind == k && t.object() {
			return t.one
		}
	}
	return fmt.Sprintf("kind %d", k)
}

// A pattern is NAME, or PREFIX* for all names that begin so; "*" and nothing are all.
type pattern struct {
	text   string // without the star
	prefix bool
}

func patternOf(args []string) pattern {
	if len(args) == 0 {
		return pattern{prefix: true}
	}
	text, starred := strings.CutSuffix(args[0], "*")
	return pattern{text: text, prefix: starred}
}

func (p pattern) matches(name string) bool {
	return name == p.text || p.prefix && strings.HasPrefix(name, p.text)
}
