package mirror

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Relay has a source that serves send to a sink that serves, each at the other end of a
// stream: neither need reach the other, and nothing is kept in between.
type Relay struct {
	source, sink io.Closer
	asks         frameWriter // to the source
	in           frameReader // from it
	out          frameWriter // to the sink
	answers      frameReader // from it
	failed       error
}

// NewRelay begins a copy. The streams are the relay's from then on.
func NewRelay(source, sink io.ReadWriteCloser) *Relay {
	return &Relay{
		source: source, sink: sink,
		asks: frameWriter{to: bufio.NewWriter(source)}, in: frameReader{from: bufio.NewReaderSize(source, 2*blockSize)},
		out: frameWriter{to: bufio.NewWriterSize(sink, 2*blockSize)}, answers: frameReader{from: bufio.NewReader(sink)},
	}
}

// Close closes both streams. No pass may be under way. It fails when the sink does not
// say that what it has is on the disk.
func (r *Relay) Close() error {
	_ = r.source.Close() // it was only read
	return r.sink.Close()
}

// Pass has the source do a pass, and waits until the sink has applied it: see
// [Source.Pass]. After a live pass what the sink has is on the disk.
func (r *Relay) Pass(ctx context.Context, final bool) (*Report, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	report, err := r.pass(ctx, final)
	r.failed = err
	return report, err
}

func (r *Relay) pass(ctx context.Context, final bool) (*Report, error) {
	defer context.AfterFunc(ctx, r.hangUp)()
	begun := time.Now()
	if err := r.asks.say(frameAsk, ask{Final: final}); err != nil {
		r.hangUp()
		return nil, cmp.Or(ctx.Err(), err)
	}
	type answer struct {
		tally applied
		told  error // what the sink says that it failed with
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.told, a.err = r.answer(&a.tally)
		answers <- a
	}()
	report, told, err := r.forward()
	if err != nil {
		// A sink that has failed has said so before the source learned of it.
		r.hangUp()
	}
	waited := time.Now()
	a := <-answers
	if err := cmp.Or(ctx.Err(), a.told, told, cut(err), cut(a.err)); err != nil {
		r.hangUp()
		return nil, err
	}
	report.Stripped, report.Unowned = a.tally.Stripped, a.tally.Unowned
	report.Send += time.Since(waited).Seconds()
	report.Seconds = time.Since(begun).Seconds()
	return report, nil
}

func (r *Relay) hangUp() {
	// The failure says more.
	_ = errors.Join(r.source.Close(), r.sink.Close())
}

// forward hands on what the source sends, until that ends the pass, or says that it
// failed.
func (r *Relay) forward() (report *Report, told, err error) {
	for {
		kind, payload, err := r.in.next()
		if err != nil {
			return nil, nil, err
		}
		if err := r.out.put(kind, payload); err != nil {
			return nil, nil, err
		}
		switch kind {
		case frameFailed:
			told := retell(payload)
			return nil, told, r.out.to.Flush()
		case frameDone:
			report = &Report{}
			if json.Unmarshal(payload, report) != nil {
				return nil, nil, garbled("it ends a pass in its midst")
			}
			return report, nil, r.out.to.Flush()
		}
	}
}

// answer hands back what the sink says of the pass.
func (r *Relay) answer(tally *applied) (told, err error) {
	kind, payload, err := r.answers.next()
	if err != nil {
		return nil, err
	}
	switch {
	case kind == frameFailed:
		told = retell(payload)
	case kind != frameApplied || json.Unmarshal(payload, tally) != nil:
		return garbled("a message of it, of type %d, is not expected", kind), nil
	}
	if err := r.asks.put(kind, payload); err != nil {
		return told, err
	}
	return told, r.asks.to.Flush()
}
