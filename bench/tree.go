package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// tree is a generated folder: half of its bytes are in small files, half in large ones.
type tree struct {
	dir   string
	bytes int
}

const (
	meanSmall  = 2 << 30 / 40_000 / 2 // bytes
	largeFiles = 8
)

// files is how many small ones it has.
func (t tree) files() int { return t.bytes / (2 * meanSmall) }

func (t tree) small(i int) string {
	return filepath.Join(t.dir, fmt.Sprintf("d%03d", i%400), fmt.Sprintf("f%05d", i))
}

func (t tree) large(i int) string { return filepath.Join(t.dir, fmt.Sprint("large", i)) }

func (t tree) generate() error {
	random := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(random.Uint32())
		if i < len(data)/2 {
			data[i] &= 0x0f // the half of it compresses
		}
	}
	for i := range t.files() {
		size := random.IntN(2 * meanSmall)
		at := random.IntN(len(data) - size)
		if err := write(t.small(i), string(data[at:at+size])); err != nil {
			return err
		}
	}
	large := bytes.Repeat(data, t.bytes/2/largeFiles/len(data))
	for i := range largeFiles {
		if err := write(t.large(i), string(large)); err != nil {
			return err
		}
	}
	return nil
}

// change writes to one small file of a hundred, and to one block of a hundred of the
// large ones.
func (t tree) change(random *rand.Rand) error {
	for range t.files() / 100 {
		if err := overwrite(t.small(random.IntN(t.files())), 0, random.Uint64()); err != nil {
			return err
		}
	}
	const block = 256 << 10
	blocks := t.bytes / 2 / largeFiles / block
	for i := range largeFiles {
		for range blocks / 100 {
			at := random.Int64N(int64(blocks)) * block
			if err := overwrite(t.large(i), at, random.Uint64()); err != nil {
				return err
			}
		}
	}
	return nil
}

func overwrite(path string, at int64, with uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%020d", with), at)
	return errors.Join(err, f.Close())
}
