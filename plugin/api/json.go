package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// JSON returns a message in one line, as "mbbgp show -j" prints it and the
// status page reads it: by the names that v1/mbbgp.proto has, every field but
// for messages and optional values that are not set. It is protobuf's own JSON
// mapping except for numbers of 64 bits, which are numbers here: jq compares
// texts with numbers without a word. Bytes that are no text come out as U+FFFD.
func JSON(m proto.Message) []byte {
	var out bytes.Buffer
	writeMessage(&out, m.ProtoReflect())
	return out.Bytes()
}

func writeMessage(out *bytes.Buffer, m protoreflect.Message) {
	if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
		out.WriteString(strconv.Quote(t.AsTime().Format(time.RFC3339Nano)))
		return
	}
	out.WriteByte('{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		writeText(out, f.JSONName())
		out.WriteByte(':')
		writeField(out, f, m.Get(f))
	}
	out.WriteByte('}')
}

func writeField(out *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsList():
		writeList(out, f, v.List())
	case f.IsMap():
		writeMap(out, f, v.Map())
	default:
		writeValue(out, f, v)
	}
}

func writeList(out *bytes.Buffer, f protoreflect.FieldDescriptor, list protoreflect.List) {
	out.WriteByte('[')
	for i := range list.Len() {
		if i > 0 {
			out.WriteByte(',')
		}
		writeValue(out, f, list.Get(i))
	}
	out.WriteByte(']')
}

// writeMap writes a map, whose keys are text, in the order of its keys.
func writeMap(out *bytes.Buffer, f protoreflect.FieldDescriptor, m protoreflect.Map) {
	values := make(map[string]json.RawMessage, m.Len())
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		var one bytes.Buffer
		writeValue(&one, f.MapValue(), v)
		values[k.String()] = one.Bytes()
		return true
	})
	text, err := json.Marshal(values)
	if err == nil { // it is made of JSON
		out.Write(text)
	}
}

func writeValue(out *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		writeMessage(out, v.Message())
	case protoreflect.StringKind:
		writeText(out, v.String())
	default: // numbers and truth values
		out.WriteString(v.String())
	}
}

// writeText writes a text as JSON does, with <, > and & as they are.
func writeText(out *bytes.Buffer, s string) {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err == nil { // a text can always be encoded
		out.Truncate(out.Len() - 1) // the end of the line
	}
}
