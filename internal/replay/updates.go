package replay

import (
	"context"
	"time"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// updates encodes the recorded messages, each due at its time.
func (e *encoder) updates(ctx context.Context, p *player) error {
	var first int64
	_, _, err := walk(p.o.File, func(int64) error { return nil }, func(_ *mrt.Reader, rec *mrt.Record) error {
		if rec.Kind != mrt.Message || rec.Local || !isUpdate(rec.Message) || !p.o.From.All && sender(rec) != p.sum.From.Neighbor {
			return nil
		}
		due := e.due
		if p.o.Speed > 0 {
			now := rec.Time().UnixMicro()
			if e.done == 0 {
				first = now
			}
			// Clocks of collectors go back at times; the order stays.
			due = max(due, time.Duration(float64(now-first)*1000/p.o.Speed))
		}
		if due != e.due || len(e.out) >= chunkSize {
			if err := e.flush(ctx); err != nil {
				return err
			}
			e.due = due
		}
		e.done++
		e.update(rec)
		return nil
	})
	return err
}

// update encodes a recorded UPDATE: what it withdraws, then what it announces.
func (e *encoder) update(rec *mrt.Record) {
	o := wire.Options{AS4: rec.AS4, ExtMsg: true, ExtNH: true, Families: e.families}
	for f := range o.AddPath {
		o.AddPath[f] = rec.AddPath
	}
	var u wire.Update
	if err := wire.Split(rec.Message[wire.HeaderLen:], &o, &u); err != nil {
		e.skip(1, "an UPDATE of %v: %v", rec.Time(), err)
		return
	}
	// All is decoded before anything is sent.
	var cut [4]int
	e.routes = e.routes[:0]
	for i, l := range [...]wire.NLRI{u.Withdrawn, u.Unreach, u.Announced, u.Reach} {
		var err *wire.Error
		if e.routes, err = l.Decode(e.routes); err != nil {
			e.skip(1, "an UPDATE of %v: %v", rec.Time(), err)
			return
		}
		cut[i] = len(e.routes)
	}
	e.withdraw(prefix.IPv4, e.routes[:cut[0]])
	e.withdraw(u.Unreach.Family, e.routes[cut[0]:cut[1]])
	// Validate judges the two forms one by one.
	ipv4, mp := u, u
	ipv4.HasReach, ipv4.ReachNextHop, ipv4.Reach = false, nil, wire.NLRI{}
	mp.Announced = wire.NLRI{}
	e.announce(&ipv4, rec.AS4, prefix.IPv4, e.routes[cut[1]:cut[2]])
	e.announce(&mp, rec.AS4, u.Reach.Family, e.routes[cut[2]:])
}
