package image

import (
	"bufio"
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back zstd may refer, and so what a decoder may need of
// memory: what the zstd command accepts unless told otherwise.
const maxWindow = 128 << 20

func compressionOf(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	}
	return Uncompressed
}

// decompressor decompresses one source after the other with what it has
// allocated. An archive can have very many small compressed entries.
type decompressor struct {
	buffer *bufio.Reader
	gzip   *gzip.Reader
	zstd   *zstd.Decoder
}

// open returns what source holds once decompressed; the end of source must be
// the end of the compressed data. It is good until the next open or Close.
func (d *decompressor) open(source io.Reader, compression Compression) (io.Reader, error) {
	if compression == Uncompressed {
		return source, nil
	}
	if d.buffer == nil {
		d.buffer = bufio.NewReaderSize(nil, 128<<10)
	}
	d.buffer.Reset(source)
	if compression == Gzip {
		if d.gzip == nil {
			d.gzip = new(gzip.Reader)
		}
		return d.gzip, d.gzip.Reset(d.buffer)
	}
	if d.zstd == nil {
		// Without goroutines of its own it reads only while it is read from, so
		// that the source has one owner; behind a read-ahead it is no slower.
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, err
		}
		d.zstd = decoder
	}
	return d.zstd, d.zstd.Reset(d.buffer)
}

// Close lets go of what was allocated.
func (d *decompressor) Close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}
