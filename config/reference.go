package config

import _ "embed" // for the reference file

// Reference is the commented reference file: every key with its meaning, unit,
// range and default. It is a valid configuration itself.
//
//go:embed mbbgp.yaml
var Reference []byte
