package state_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"
)

const series = 20

// prometheus starts a server on a folder. Blocks are of seconds instead of hours, so
// that many are made and merged.
func prometheus(t *testing.T, dir string) (*server, string, error) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(config, nil, 0o600))
	s, err := serve(exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+dir, "--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver", "--web.enable-admin-api",
		"--storage.tsdb.min-block-duration=20s", "--storage.tsdb.max-block-duration=180s"), "Listening on", "Server is ready")
	if err != nil {
		return nil, "", err
	}
	return s, "http://" + regexp.MustCompile(`127\.0\.0\.1:[1-9]\d*`).FindString(s.log.String()), nil
}

// field is one of a message of Protocol Buffers.
func field(number uint64, value []byte) []byte {
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, number<<3|2), uint64(len(value))), value...)
}

// samples is a request to write n into all series, n steps after begun.
func samples(begun time.Time, n int) []byte {
	label := func(name, value string) []byte {
		return field(1, append(field(1, []byte(name)), field(2, []byte(value))...))
	}
	value := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(float64(n)))
	sample := field(2, append(value, binary.AppendUvarint([]byte{2 << 3}, uint64(at(begun, n).UnixMilli()))...))
	var all []byte
	for i := range series {
		all = append(all, field(1, bytes.Join([][]byte{label("__name__", "row"), label("series", fmt.Sprint(i)), sample}, nil))...)
	}
	return snappy.Encode(nil, all)
}

func at(begun time.Time, n int) time.Time {
	return begun.Add(time.Duration(n) * 100 * time.Millisecond)
}

func write(address string, body []byte) error {
	answer, err := http.Post(address+"/api/v1/write", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("%s: %s", answer.Status, said)
	}
	return err
}

// everySample has a server on a copy give all that it has, and tells the last.
func everySample(t *testing.T, begun time.Time, copy string) (last []int, err error) {
	s, address, err := prometheus(t, copy)
	if err != nil {
		return nil, err
	}
	defer s.end(syscall.SIGKILL)
	answer, err := http.Get(address + "/api/v1/query?query=" + url.QueryEscape("row[1d]"))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var found struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return nil, err
	}
	if len(found.Data.Result) != series {
		return nil, fmt.Errorf("%w: %d series", errTorn, len(found.Data.Result))
	}
	rows := len(found.Data.Result[0].Values)
	for _, one := range found.Data.Result {
		for i, sample := range one.Values {
			if want := at(begun, i+1); sample[1] != strconv.Itoa(i+1) || int64(math.Round(sample[0].(float64)*1000)) != want.UnixMilli() || len(one.Values) != rows {
				return nil, fmt.Errorf("%w: %v is number %d of %d, or of %d", errTorn, sample, i+1, len(one.Values), rows)
			}
		}
	}
	return []int{rows}, nil
}

func TestPresetOfPrometheus(t *testing.T) {
	s, dir := newSubject(t, "prometheus")
	begun := time.Now().Add(-6 * time.Hour).Truncate(time.Second)
	running, address, err := prometheus(t, dir)
	require.NoError(t, err)
	t.Cleanup(func() { running.end(syscall.SIGKILL) })
	s.pid = running.cmd.Process.Pid
	s.check = func(copy string) ([]int, error) { return everySample(t, begun, copy) }
	s.rows = []*rows{feed(t, func(n int) error { return write(address, samples(begun, n)) })}
	s.dump(func(into string) error {
		answer, err := http.Post(address+"/api/v1/admin/tsdb/snapshot", "", nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var made struct{ Data struct{ Name string } }
		if err := json.NewDecoder(answer.Body).Decode(&made); err != nil {
			return err
		}
		return os.Rename(filepath.Join(dir, "snapshots", made.Data.Name), filepath.Join(into, "snapshot"))
	}, func(dumped string) ([]int, error) { return everySample(t, begun, filepath.Join(dumped, "snapshot")) })
	last, copy := s.rounds(3, 800)
	s.without("wal", last, copy)
}
