// Package docs runs what docs/api.md shows: each block of shell, in order, against a real
// coordd, and compares what it prints with the block below it. It also holds docs/sync.md and
// the lists of patterns against what there is.
package docs
