package cli

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

const (
	// mostLines is how many lines wait for a standard error that nobody reads.
	mostLines = 4096
	// flushPatience is how long the end of the process waits for them.
	flushPatience = time.Second
)

// lines is a writer that never waits, before one that may: a router must not
// stand still because a terminal or a pipe does. What there is no room for is
// counted.
type lines struct {
	queue chan []byte
	lost  atomic.Uint64
	quit  chan struct{}
	done  chan struct{}
}

// startLines begins to write to w. It calls tell, which may wait as well, with
// the number of lines that are missing where it is called. stop ends it.
func startLines(w io.Writer, tell func(lost uint64)) *lines {
	l := &lines{queue: make(chan []byte, mostLines), quit: make(chan struct{}), done: make(chan struct{})}
	go l.run(w, tell)
	return l
}

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	select {
	case l.queue <- bytes.Clone(line):
	default:
		l.lost.Add(1)
	}
	return len(line), nil
}

func (l *lines) run(w io.Writer, tell func(uint64)) {
	defer close(l.done)
	for {
		select {
		case line := <-l.queue:
			_, _ = w.Write(line) // there is nobody to tell
			continue
		default:
		}
		// What was lost came behind what has been written.
		if n := l.lost.Swap(0); n > 0 {
			tell(n)
		}
		select {
		case line := <-l.queue:
			_, _ = w.Write(line)
		case <-l.quit:
			if len(l.queue) == 0 {
				return
			}
		}
	}
}

// stop writes what still waits, unless nobody reads it.
func (l *lines) stop() {
	close(l.quit)
	t := time.NewTimer(flushPatience)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
	}
}
