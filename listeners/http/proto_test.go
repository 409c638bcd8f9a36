package http

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The messages of http.v1, declared a second time and independently of the
// encoders: Request, Response and HeaderValue.
var requestType, responseType = func() (protoreflect.MessageDescriptor, protoreflect.MessageDescriptor) {
	type fp = descriptorpb.FieldDescriptorProto
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *fp {
		return &fp{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	list := func(f *fp, of string) *fp {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	const (
		str     = descriptorpb.FieldDescriptorProto_TYPE_STRING
		bytes   = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		boolean = descriptorpb.FieldDescriptorProto_TYPE_BOOL
		int64s  = descriptorpb.FieldDescriptorProto_TYPE_INT64
		message = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	entry := func(name string) *descriptorpb.DescriptorProto {
		value := field("value", 2, message)
		value.TypeName = proto.String(".http.v1.HeaderValue")
		return &descriptorpb.DescriptorProto{
			Name:    &name,
			Field:   []*fp{field("key", 1, str), value},
			Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
		}
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("http.proto"), Package: proto.String("http.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("HeaderValue"), Field: []*fp{list(field("value", 1, bytes), "")}},
			{
				Name: proto.String("Request"),
				Field: []*fp{
					field("remote_addr", 1, str), field("protocol", 2, str), field("method", 3, str), field("uri", 4, str),
					list(field("header", 5, message), ".http.v1.Request.HeaderEntry"),
					list(field("cookies", 6, message), ".http.v1.Request.CookiesEntry"),
					field("raw_query", 7, str), field("parsed", 8, boolean), field("uploads", 9, bytes),
					list(field("attributes", 10, message), ".http.v1.Request.AttributesEntry"),
				},
				NestedType: []*descriptorpb.DescriptorProto{entry("HeaderEntry"), entry("CookiesEntry"), entry("AttributesEntry")},
			},
			{
				Name:       proto.String("Response"),
				Field:      []*fp{field("status", 1, int64s), list(field("headers", 2, message), ".http.v1.Response.HeadersEntry")},
				NestedType: []*descriptorpb.DescriptorProto{entry("HeadersEntry")},
			},
		},
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err)
	}
	return fd.Messages().ByName("Request"), fd.Messages().ByName("Response")
}()

func unmarshal(t testing.TB, d protoreflect.MessageDescriptor, b []byte) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return m
}

func get(m *dynamicpb.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

// lists turns a map<string, HeaderValue> into Go's.
func lists(m *dynamicpb.Message, name protoreflect.Name) map[string][]string {
	out := map[string][]string{}
	get(m, name).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		values := v.Message().Get(v.Message().Descriptor().Fields().ByName("value")).List()
		list := []string{}
		for i := range values.Len() {
			list = append(list, string(values.Get(i).Bytes()))
		}
		out[k.String()] = list
		return true
	})
	return out
}

// protoResponse encodes a http.v1.Response as a worker would.
func protoResponse(t testing.TB, status int64, headers map[string][]string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(responseType)
	m.Set(responseType.Fields().ByName("status"), protoreflect.ValueOfInt64(status))
	field := responseType.Fields().ByName("headers")
	entries := m.Mutable(field).Map()
	for name, values := range headers {
		v := entries.NewValue()
		list := v.Message().Mutable(v.Message().Descriptor().Fields().ByName("value")).List()
		for _, s := range values {
			list.Append(protoreflect.ValueOfBytes([]byte(s)))
		}
		entries.Set(protoreflect.ValueOfString(name).MapKey(), v)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
