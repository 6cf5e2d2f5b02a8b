package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"holdfast/internal/view"
)

// patience is how long a command may be silent.
const patience = time.Second

// progress tells on a terminal that something goes on.
type progress struct {
	w    io.Writer
	mu   sync.Mutex
	text string
	quit chan struct{}
	done chan struct{}
}

// progress begins to tell, once patience has passed, what goes on. Its stop
// must be called; it is silent unless standard error is a terminal.
func (a *app) progress(text string) *progress {
	if !terminal(a.Err) {
		return &progress{}
	}
	return startProgress(a.Err, text)
}

func startProgress(w io.Writer, text string) *progress {
	p := &progress{w: w, text: text, quit: make(chan struct{}), done: make(chan struct{})}
	go p.run(time.Now())
	return p
}

func (p *progress) run(begun time.Time) {
	defer close(p.done)
	const clearLine = "\r\x1b[K"
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for shown := false; ; shown = true {
		select {
		case <-p.quit:
			if shown {
				fmt.Fprint(p.w, clearLine)
			}
			return
		case now := <-wait.C:
			p.mu.Lock()
			text := p.text
			p.mu.Unlock()
			fmt.Fprintf(p.w, "%s%s, %s", clearLine, text, view.Duration(now.Sub(begun)))
			wait.Reset(250 * time.Millisecond)
		}
	}
}

// say changes the text.
func (p *progress) say(text string) {
	p.mu.Lock()
	p.text = text
	p.mu.Unlock()
}

// stop removes what was told. It may be called more than once.
func (p *progress) stop() {
	if p.quit == nil {
		return
	}
	close(p.quit)
	<-p.done
	p.quit = nil
}
