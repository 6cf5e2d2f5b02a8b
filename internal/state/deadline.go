package state

import "time"

// Deadline is when something ends; the zero value is never. While the process
// runs it comes when it is due, whatever becomes of the clock. On the disk it
// is a time of the clock.
type Deadline struct{ at time.Time }

// After is the moment d from now; 0 is never.
func After(d time.Duration) Deadline {
	if d == 0 {
		return Deadline{}
	}
	return Deadline{time.Now().Add(d)}
}

// IsZero reports whether it never comes.
func (d Deadline) IsZero() bool { return d.at.IsZero() }

// Left is how long it is until then; of the zero value it means nothing.
func (d Deadline) Left() time.Duration { return time.Until(d.at) }

// Passed reports whether it has come.
func (d Deadline) Passed() bool { return !d.IsZero() && d.Left() <= 0 }

// Time is what the clock will say then, if nobody sets it meanwhile.
func (d Deadline) Time() time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return time.Now().Add(d.Left()).Round(0).UTC()
}

// String is for the log.
func (d Deadline) String() string {
	if d.IsZero() {
		return "never"
	}
	return d.Time().Format(time.RFC3339)
}

// MarshalText implements encoding.TextMarshaler.
func (d Deadline) MarshalText() ([]byte, error) {
	return d.Time().Truncate(time.Millisecond).MarshalText()
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Deadline) UnmarshalText(text []byte) error {
	var t time.Time
	if err := t.UnmarshalText(text); err != nil {
		return err
	}
	if d.at = t; !t.IsZero() {
		now := time.Now()
		d.at = now.Add(t.Sub(now))
	}
	return nil
}

// Clock notices that the wall clock was set. Deadlines that were written before
// stand wrong on the disk then.
type Clock struct {
	began  time.Time
	offset time.Duration
	wall   func() time.Time // tests set it
}

// step is what counts as setting the clock: an NTP daemon that only steers it
// stays below.
const step = time.Second

// NewClock begins to look.
func NewClock() *Clock {
	return &Clock{began: time.Now(), wall: func() time.Time { return time.Now().Round(0) }}
}

// Set reports whether the clock was set since the last call.
func (c *Clock) Set() bool {
	offset := c.wall().Sub(c.began.Round(0)) - time.Since(c.began)
	if d := offset - c.offset; d > -step && d < step {
		return false
	}
	c.offset = offset
	return true
}
