package protocodec_test

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A long is a message with a name of more than 64 bytes, which no generated one here has.
type long struct{}

func (*long) ProtoReflect() protoreflect.Message {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("long.proto"),
		Package:     proto.String(strings.Repeat("a.very.", 9) + "google.protobuf"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Long")}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return dynamicpb.NewMessage(file.Messages().Get(0))
}
