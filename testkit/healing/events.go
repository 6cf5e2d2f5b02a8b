package healing

import (
	"errors"
	"slices"
)

// Event is something that happens to the router.
type Event struct {
	Name string
	Run  func(l *Lab) Result
}

// Events are all, in the order in which they are best tried.
func Events() []Event {
	return []Event{
		{"edit", (*Lab).Edit}, {"killed", (*Lab).Killed}, {"cut", (*Lab).Cut}, {"silence", (*Lab).Silence},
		{"crash", (*Lab).Crash}, {"upgrade", (*Lab).Upgrade},
	}
}

// FindEvent is the event of a name.
func FindEvent(name string) (Event, error) {
	i := slices.IndexFunc(Events(), func(e Event) bool { return e.Name == name })
	if i < 0 {
		return Event{}, errors.New("there is no event " + name)
	}
	return Events()[i], nil
}

// Cut takes the carrier from the router's end of the link to a, which sees
// nothing of it.
func (l *Lab) Cut() Result {
	l.t.Helper()
	defer l.a.Reset()
	defer l.a.router.Mend()
	return l.during(l.a.router.Cut, l.toB)
}

// Silence loses every packet between the router and a, while both see a link.
func (l *Lab) Silence() Result {
	l.t.Helper()
	defer l.a.Reset()
	defer l.a.router.Unblackhole()
	l.a.bfd.awaitUp(l.t)
	return l.during(l.a.router.Blackhole, l.toB)
}

// Killed kills a's BGP. Packets that come to a still arrive.
func (l *Lab) Killed() Result {
	l.t.Helper()
	defer l.a.Revive()
	return l.during(l.a.Kill, l.toB)
}

// Edit changes the policy, so that b's routes are the better ones, while both
// upstreams forward.
func (l *Lab) Edit() Result {
	l.t.Helper()
	defer l.router.Prefer("b", 100)
	return l.during(func() { l.router.Prefer("b", 300) }, l.toB)
}

// Crash kills the router's programs and starts them again.
func (l *Lab) Crash() Result {
	l.t.Helper()
	return l.during(func() { l.router.Kill(); l.router.Start() }, l.back)
}

// Upgrade stops the router and starts another build.
func (l *Lab) Upgrade() Result {
	l.t.Helper()
	return l.during(l.router.Upgrade, l.back)
}
