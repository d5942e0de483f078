package treetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	page  = 4096
	pages = 512
	// EachRecords is after how many records a writer pauses for something else.
	EachRecords = 64
)

// line is a record in the log.
func line(n uint64) string { return fmt.Sprintf("%016d %08x\n", n, checksum(n)) }

func checksum(n uint64) uint32 { return crc32.ChecksumIEEE(binary.BigEndian.AppendUint64(nil, n)) }

// Write goes on for ever, from where one before it was ended: a record into the log,
// then into a page of a mapped file, then its number into the first page; and after each
// 64 of them a new file in place of another, and what each does.
func Write(tree string, each func(n uint64) error) error {
	log, err := os.OpenFile(filepath.Join(tree, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := log.Stat()
	if err != nil {
		return err
	}
	before := uint64(info.Size()) / uint64(len(line(0)))
	mapped, err := os.OpenFile(filepath.Join(tree, "mapped"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = mapped.Truncate(page * pages)
	}
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(mapped.Fd()), 0, page*pages, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for n := max(before, 1); ; n++ { // the last one may be in the log alone
		if n > before {
			if _, err := log.WriteString(line(n)); err != nil {
				return err
			}
		}
		at := data[page*(1+n%(pages-1)):]
		binary.BigEndian.PutUint64(at, n)
		binary.BigEndian.PutUint32(at[page-4:], checksum(n))
		binary.BigEndian.PutUint64(data, n)
		if n%EachRecords != 0 {
			continue
		}
		fresh := filepath.Join(tree, fmt.Sprint("fresh", n%5))
		if err := os.WriteFile(fresh, fmt.Append(nil, n), 0o600); err != nil {
			return err
		}
		if err := os.Rename(fresh, filepath.Join(tree, "replaced")); err != nil {
			return err
		}
		if err := each(n); err != nil {
			return err
		}
	}
}

// Written holds what [Write] wrote against its own records, and returns the last one: it
// fails unless that is all of what there was at one moment.
func Written(t testing.TB, tree string) uint64 {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(tree, "log"))
	require.NoError(t, err)
	var last uint64
	for found := range bytes.Lines(log) {
		last++
		if want := line(last); string(found) != want { // there are many
			require.Equal(t, want, string(found))
		}
	}
	data, err := os.ReadFile(filepath.Join(tree, "mapped"))
	require.NoError(t, err)
	n := binary.BigEndian.Uint64(data)
	require.Contains(t, []uint64{last - 1, last}, n, "the map is as far as the log")
	for i := n; i > 0 && i > n-min(n, pages-2); i-- { // the page after these may be half written
		at := data[page*(1+i%(pages-1)):]
		require.Equal(t, i, binary.BigEndian.Uint64(at))
		require.Equal(t, checksum(i), binary.BigEndian.Uint32(at[page-4:]))
	}
	return last
}

// Family is a process with its children and theirs, each after its parent.
func Family(t testing.TB, pid int) []int {
	t.Helper()
	all := []int{pid}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if string(fields[0]) != "Z" && string(fields[1]) == fmt.Sprint(pid) {
			all = append(all, Family(t, child)...)
		}
	}
	return all
}

// Freeze stops a process, then its children, as the freezer that a pause uses: it returns
// when no thread of theirs runs. Who is stopped has no more children.
func Freeze(t testing.TB, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	for stopped := false; !stopped; {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		require.NoError(t, err)
		stopped = true
		for _, name := range stats {
			stat, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			state := stat[bytes.LastIndexByte(stat, ')')+2]
			stopped = stopped && strings.ContainsRune("TZ", rune(state))
		}
	}
	for _, child := range Family(t, pid)[1:] {
		Freeze(t, child)
	}
}

// Thaw has them go on.
func Thaw(t testing.TB, pid int) {
	t.Helper()
	for _, each := range Family(t, pid) {
		_ = syscall.Kill(each, syscall.SIGCONT) // one that was about to end has
	}
}
