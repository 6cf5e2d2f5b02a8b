package bfd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

func packet() Packet {
	return Packet{Diag: DiagExpired, State: Up, Poll: true, Multiplier: 3, My: 0x01020304, Your: 0xa0b0c0d0,
		DesiredMinTx: 300 * time.Millisecond, RequiredMinRx: 50 * time.Millisecond, RequiredMinEcho: 7 * time.Microsecond}
}

func TestPacket(t *testing.T) {
	p := packet()
	b := p.Append(nil)
	if want, _ := hex.DecodeString("21e0031801020304a0b0c0d0000493e00000c35000000007"); !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	if got, err := Parse(b); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Parse(append(b, 1, 2, 3)); err != nil || got != p { // padding
		t.Errorf("with more behind it: %+v, %v", got, err)
	}
}

// TestRefused has the checks of RFC 5880 section 6.8.6.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"version 0":               {func(b []byte) []byte { b[0] &= 0x1f; return b }, errVersion},
		"version 2":               {func(b []byte) []byte { b[0] = 2<<5 | b[0]&0x1f; return b }, errVersion},
		"empty":                   {func(b []byte) []byte { return nil }, errShort},
		"cut":                     {func(b []byte) []byte { return b[:23] }, errShort},
		"length too small":        {func(b []byte) []byte { b[3] = 23; return b }, errLength},
		"length beyond it":        {func(b []byte) []byte { b[3] = 25; return b }, errLength},
		"A without room":          {func(b []byte) []byte { b[1] |= flagAuthenticated; return b }, errLength},
		"A with room":             {func(b []byte) []byte { b[1] |= flagAuthenticated; b[3] = 26; return append(b, 1, 2) }, errAuthenticated},
		"multiplier 0":            {func(b []byte) []byte { b[2] = 0; return b }, errMultiplier},
		"multipoint":              {func(b []byte) []byte { b[1] |= flagMultipoint; return b }, errMultipoint},
		"my discriminator 0":      {func(b []byte) []byte { clear(b[4:8]); return b }, errDiscriminator},
		"your 0 while up":         {func(b []byte) []byte { clear(b[8:12]); return b }, errYour},
		"your 0 while init":       {func(b []byte) []byte { clear(b[8:12]); b[1] = b[1]&0x3f | 2<<6; return b }, errYour},
		"your 0 while down":       {func(b []byte) []byte { clear(b[8:12]); b[1] = b[1]&0x3f | 1<<6; return b }, nil},
		"your 0, admin down":      {func(b []byte) []byte { clear(b[8:12]); b[1] &= 0x3f; return b }, nil},
		"intervals 0, reserved 1": {func(b []byte) []byte { clear(b[12:24]); return b }, nil},
	} {
		p := packet()
		if _, err := Parse(c.change(p.Append(nil))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	p := packet()
	f.Add(p.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(p.Append(nil))
		if err != nil || again != p {
			t.Fatalf("%+v became %+v: %v", p, again, err)
		}
		// No packet makes a session misbehave.
		m := New(Timers{Interval: 300 * time.Millisecond, MinReceive: 300 * time.Millisecond, Multiplier: 3}, 1, 0, func() float64 { return 0.5 })
		now := time.Duration(0)
		for range 5 {
			m.Receive(now, &p)
			m.Tick(now)
			if next := m.Next(); next < now {
				t.Fatalf("it is due at %v, which is before %v", next, now)
			}
			now += 10 * time.Millisecond
		}
	})
}
