module mbbgp/test/clab/schema

go 1.26.0

require (
	github.com/goccy/go-yaml v1.19.2
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
	github.com/srl-labs/containerlab v0.60.0 // its schema only, no package
)

require golang.org/x/text v0.20.0 // indirect
