// Package demo shows routers at work: an edge, two transits with a real table
// and a customer, each a whole router with its file, its log and its socket, on
// loopback addresses in this process.
//
// Goroutines: each router is one, which Run starts; so is each session that
// plays the table, and each end of the cable. All end before Run returns.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say how the demo is shown.
type Options struct {
	Out   io.Writer
	Color bool
	// Command is what a shell runs as holdfast in another terminal, in the
	// directory Dir if it is not empty.
	Command string
	Dir     string
	Quote   func(string) string // makes one word for a shell
	// Once ends the demo with its story. Otherwise the routers go on until ctx
	// is done.
	Once bool
}

// Run runs the demo.
func Run(ctx context.Context, o Options) (err error) {
	p, err := newPlace()
	if err != nil {
		return err
	}
	l := newLab(ctx, p)
	t := &teller{w: o.Out, color: o.Color}
	defer func() {
		l.stop()
		if err != nil && !errors.Is(err, context.Canceled) {
			p.claim.Close()
			err = fmt.Errorf("%w; the logs are in %s", err, p.dir)
			return
		}
		err = errors.Join(err, p.remove())
		t.printf("Everything has ended, and %s is removed.\n", p.dir)
	}()
	began := time.Now()
	s := &story{lab: l, teller: t, Options: o}
	for _, step := range []func() error{s.load, s.start, s.look, s.breaks, s.comesBack} {
		if err := errors.Join(step(), t.err); err != nil {
			return err
		}
	}
	t.printf("\nThat took %s.\n", short(time.Since(began)))
	if !o.Once {
		s.yourTurn()
		if err := s.wait(); err != nil {
			return err
		}
	}
	return t.err
}

// yourTurn says what to type in a second terminal.
func (s *story) yourTurn() {
	s.heading("Your turn. The routers go on until Ctrl-C here. In a second terminal:")
	say := func(command, comment string) {
		if comment == "" {
			s.printf("     %s\n", command)
			return
		}
		s.printf("     %-46s# %s\n", command, comment)
	}
	if s.Dir != "" {
		say("cd "+s.Quote(s.Dir), "")
	}
	say("alias edge="+s.Quote(s.Command+" --socket "+s.Quote(s.socket("edge"))), "")
	s.printf("\n")
	say("edge show neighbor transit-a", "what broke, and what both sides can do")
	say("edge show routes --origin-as 25152 --best", "to k.root-servers.net")
	say("edge show routes --rejected", "what the policies refuse, and which line does")
	say("edge lookup 8.8.8.8", "")
	say("edge shutdown transit-a", "then: edge enable transit-a")
	s.printf("\n   Change a policy, so that transit-b is preferred. No session is reset:\n\n")
	say(`sed -i 's/"+0"/"+50"/' `+s.Quote(s.path("edge.hcl")), "")
	say("edge check --running", "what the file would change")
	say("edge reload", "")
	s.printf("\n   Each router has its file, log and socket in %s.\n", s.dir)
	s.printf("   Below you see how the best routes of the edge move.\n\n")
}

// wait tells how the best routes move, until ctx is done.
func (s *story) wait() error {
	shown := s.best
	previous := shown
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			if err := context.Cause(s.ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			s.printf("\n")
			return nil
		case now := <-t.C:
			best, err := s.split(s.ctx)
			if err != nil {
				continue // it is ending, or an operator is trying something
			}
			if best != shown && best == previous { // it has come to rest
				s.printf("   %s  best routes of the edge: %s through transit-a, %s through transit-b\n",
					now.Format(time.TimeOnly), count(best[0]), count(best[1]))
				shown = best
			}
			previous = best
		}
	}
}
