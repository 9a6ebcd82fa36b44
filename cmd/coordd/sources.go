package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

const envPrefix = "COORDD_"

// merge sets every flag that the command line left alone from the environment, else
// from the --config file. It returns what is to be warned of: variables that mean
// nothing here stop nobody, for Kubernetes gives every pod some for a Service that is
// named coordd. A key of the file that means nothing is an error: somebody wrote it.
//
// The file is JSON and no more: the standard library reads it, and it has one way to
// write a list.
func merge(flags *pflag.FlagSet, environ []string) (warnings []string, err error) {
	var errs []error
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, envPrefix) || value == "" {
			continue
		}
		f := flags.Lookup(flagName(key))
		switch {
		case f == nil || f.Name == "help":
			warnings = append(warnings, "environment variable "+key+" is not a setting of coordd")
		case !f.Changed:
			if err := flags.Set(f.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("environment variable %s: %w", key, err))
			}
		}
	}
	slices.Sort(warnings)
	if f := flags.Lookup("config"); f != nil && f.Value.String() != "" {
		errs = append(errs, mergeFile(flags, f.Value.String()))
	}
	return warnings, errors.Join(errs...)
}

// flagName is data-dir for COORDD_DATA_DIR.
func flagName(key string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, envPrefix), "_", "-"))
}

func mergeFile(flags *pflag.FlagSet, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var settings map[string]any
	if err := d.Decode(&settings); err != nil {
		return fmt.Errorf("read config: %s: line %d: %w", path, faultyLine(data, d, err), err)
	}
	if d.More() {
		return fmt.Errorf("read config: %s: more than one JSON object", path)
	}
	var errs []error
	for key, value := range settings {
		if err := set(flags, key, value); err != nil {
			errs = append(errs, fmt.Errorf("read config: %s: %q: %w", path, key, err))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// faultyLine is where the decoder failed, from 1.
func faultyLine(data []byte, d *json.Decoder, err error) int {
	at := d.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	return 1 + bytes.Count(data[:min(at, int64(len(data)))], []byte("\n"))
}

// set gives a flag the value of a key of the file, unless it has one already.
func set(flags *pflag.FlagSet, key string, value any) error {
	f := flags.Lookup(key)
	if f == nil || key == "help" || key == "config" {
		return errors.New("no such setting; the keys are the names of the flags, see coordd --help")
	}
	text, err := flagText(value)
	if err != nil || f.Changed {
		return err
	}
	return flags.Set(key, text)
}

// flagText is the value as it would stand on the command line.
func flagText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	case []any:
		list := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return "", errors.New("must be a list of strings")
			}
			list[i] = s
		}
		return strings.Join(list, ","), nil
	default:
		return "", errors.New("must be a string, a number, true, false, or a list of strings")
	}
}
