package gitrepo

import (
	"bytes"
	"encoding/binary"
)

// Offsets in struct linux_dirent64. See getdents(2).
const (
	direntLength = 16
	direntName   = 19
)

// eachName calls visit for every name in what getdents wrote. The name is valid
// during the call only: a folder of thousands costs no allocation.
func eachName(buffer []byte, visit func(name []byte)) {
	for len(buffer) > direntName {
		length := int(binary.NativeEndian.Uint16(buffer[direntLength:]))
		if length <= direntName || length > len(buffer) {
			return
		}
		name := buffer[direntName:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if string(name) != "." && string(name) != ".." {
			visit(name)
		}
		buffer = buffer[length:]
	}
}
