// Package docs runs what docs/api.md shows: each block of shell, in order, against a real
// coordd, and compares what it prints with the block below it.
package docs
