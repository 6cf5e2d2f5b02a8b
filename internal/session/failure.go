package session

import (
	"net/netip"

	"holdfast/internal/packet"
)

// failure is that a neighbor cannot be reached any more, which others have found
// out.
type failure struct {
	close Close
	kept  bool // it also ends that routes are kept for a neighbor that restarts
}

// fail ends an established session. It comes back after the usual delay.
func (r *runner) fail(f failure) { r.leave(func() { r.failure = &f }) }

// Fail ends the established session of a neighbor that has failed; it comes back
// after the usual delay. While a neighbor restarts, there is none: kept ends then
// that its routes are kept.
func (m *Manager) Fail(id packet.ID, c Close, kept bool) bool {
	return m.do(id, func(r *runner) { r.fail(failure{c, kept}) })
}

// CheckLinks ends the sessions with FastFallover that fault finds one with, and
// that routes are kept of a neighbor that restarts: link is the interface, "" if
// the neighbor is not directly connected, local our address.
func (m *Manager) CheckLinks(fault func(link string, local netip.Addr) string) {
	m.mu.Lock()
	all := make([]*runner, 0, len(m.runners))
	for _, r := range m.runners {
		all = append(all, r)
	}
	m.mu.Unlock()
	for _, r := range all {
		r.mu.Lock()
		on, e := r.settings.FastFallover, r.last
		r.mu.Unlock()
		if !on || e == nil {
			continue
		}
		if why := fault(e.Interface, e.Local.Addr()); why != "" {
			// Nothing would reach the neighbor: there is no NOTIFICATION.
			r.fail(failure{Close{Text: why, Hard: true}, true})
		}
	}
}
