// Package radv finds the router at the other end of a link by its router
// advertisements (RFC 4861), and lets itself be found by ours. They say nothing
// but that we are there: with a router lifetime of 0, hosts on the link do not
// take us for their default router.
package radv

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"holdfast/internal/events"
)

// Times of RFC 4861 sections 6.2.1 and 10. The most that there is between two
// advertisements is short, as it bounds how long a neighbor goes unnoticed.
const (
	maxInterval = 10 * time.Second
	minInterval = maxInterval / 3
	// apart is how long there is between two advertisements to all at the least,
	// and maxAnswer how long a solicitation waits for one.
	apart     = 3 * time.Second
	maxAnswer = 500 * time.Millisecond
	// most is how soon behind each other advertisements of others are looked at:
	// of a flood, only some.
	most = 250 * time.Millisecond
	// again is how soon an interface is looked for that is not there.
	again = 2 * time.Second
)

// link is an interface that is up.
type link interface {
	// receive waits for what somebody else sends: an advertisement, or else a
	// solicitation. It returns an error after close.
	receive() (from netip.Addr, advertisement bool, err error)
	advertise() error
	solicit() error
	close()
}

// Watch advertises us on an interface and calls found with the address of who
// else does, each time. The interface may come and go. Watch ends with ctx.
func Watch(ctx context.Context, name string, log *slog.Logger, found func(netip.Addr)) {
	watch(ctx, name, log, found, open)
}

func watch(ctx context.Context, name string, log *slog.Logger, found func(netip.Addr), open func(name string) (link, error)) {
	said := ""
	for ctx.Err() == nil {
		l, err := open(name)
		if err == nil {
			err = serve(ctx, l, found, func() {
				if said != "" {
					log.Info("advertising on an interface again", "event", events.InterfaceBack, "interface", name)
				}
				said = ""
			})
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			log.Warn("cannot advertise on an interface: waiting for it", "event", events.InterfaceLost, "interface", name, "error", said)
		}
		wait(ctx, again)
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// heard is what a link has received, or why it receives nothing more.
type heard struct {
	from          netip.Addr
	advertisement bool
	err           error
}

// serve works on a link until that fails or ctx ends. It calls works when it has
// advertised us.
func serve(ctx context.Context, l link, found func(netip.Addr), works func()) error {
	all := make(chan heard)
	go func() { // ends with the link
		defer close(all)
		for {
			from, advertisement, err := l.receive()
			all <- heard{from, advertisement, err}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		l.close()
		for range all { // until the goroutine has ended
		}
	}()
	// Who is there already need not let us wait for its next advertisement.
	if err := l.solicit(); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last, next, told time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-all:
			switch {
			case h.err != nil:
				return h.err
			case h.advertisement:
				if now := time.Now(); now.Sub(told) >= most {
					told = now
					found(h.from)
				}
			default: // RFC 4861 section 6.2.6
				answer := time.Now().Add(rand.N(maxAnswer))
				if soonest := last.Add(apart); answer.Before(soonest) {
					answer = soonest
				}
				if answer.Before(next) {
					next = answer
					timer.Reset(time.Until(next))
				}
			}
		case <-timer.C:
			if err := l.advertise(); err != nil {
				return err
			}
			works()
			last = time.Now()
			next = last.Add(minInterval + rand.N(maxInterval-minInterval))
			timer.Reset(time.Until(next))
		}
	}
}
