#!/bin/sh
# Makes the Python stubs of the API in the given directory.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
api=$here/../../api
mkdir -p "$1"
protoc -I "$api" -I "$here" --python_out="$1" --grpc_python_out="$1" \
  --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
  "$api"/coord/v1/*.proto "$here/errors.proto"
