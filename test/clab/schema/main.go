// Command schema checks topology files against the JSON schema that
// containerlab itself comes with. It is a module of its own: nothing else needs
// containerlab.
//
//	go -C test/clab/schema run . FILE...
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check returns what is wrong with topology files.
func check(files []string) error {
	module, err := containerlab()
	if err != nil {
		return err
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(module, "schemas", "clab.schema.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var topology any
		if text, err = yaml.YAMLToJSON(text); err == nil {
			topology, err = jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		}
		if err == nil {
			err = schema.Validate(topology)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
	}
	return errors.Join(errs...)
}

// containerlab returns the folder of its module, of the version in go.mod.
func containerlab() (string, error) {
	const path = "github.com/srl-labs/containerlab"
	for _, args := range [][]string{{"mod", "download", path}, {"list", "-m", "-f", "{{.Dir}}", path}} {
		cmd := exec.Command("go", args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		}
		if dir := strings.TrimSpace(string(out)); dir != "" {
			return dir, nil
		}
	}
	return "", errors.New(path + " is not in the module cache")
}
