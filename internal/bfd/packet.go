package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// State is that of a session (RFC 5880 section 4.1).
type State uint8

const (
	AdminDown State = iota
	Down
	Init
	Up
)

func (s State) String() string { return [...]string{"admin-down", "down", "init", "up"}[s&3] }

// Diag is why a session went down the last time (RFC 5880 section 4.1).
type Diag uint8

const (
	DiagNone         Diag = 0
	DiagExpired      Diag = 1
	DiagNeighborDown Diag = 3
	DiagAdminDown    Diag = 7
)

var diags = [...]string{"none", "detection time expired", "echo failed", "neighbor signaled down", "forwarding plane reset",
	"path down", "concatenated path down", "administratively down", "reverse concatenated path down"}

func (d Diag) String() string {
	if int(d) < len(diags) {
		return diags[d]
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// PacketLen is the length of a control packet without authentication.
const PacketLen = 24

// longest is that of any control packet: its length is one byte.
const longest = 255

// Packet is a control packet (RFC 5880 section 4.1). Times are whole
// microseconds on the wire.
type Packet struct {
	Diag        Diag
	State       State
	Poll, Final bool
	Independent bool // C: it does not share the fate of the control plane
	Demand      bool
	Multiplier  uint8
	// My is the sender's discriminator, Your the receiver's as the sender knows
	// it, 0 for not yet.
	My, Your uint32
	// DesiredMinTx, RequiredMinRx and RequiredMinEcho are the sender's.
	DesiredMinTx, RequiredMinRx, RequiredMinEcho time.Duration
}

const version = 1

const (
	flagPoll          = 1 << 5
	flagFinal         = 1 << 4
	flagIndependent   = 1 << 3
	flagAuthenticated = 1 << 2
	flagDemand        = 1 << 1
	flagMultipoint    = 1
)

var (
	errShort         = errors.New("it is shorter than a control packet")
	errVersion       = errors.New("it has another version")
	errLength        = errors.New("its length field is wrong")
	errMultiplier    = errors.New("its multiplier is 0")
	errMultipoint    = errors.New("it has the multipoint bit")
	errDiscriminator = errors.New("its discriminator is 0")
	errYour          = errors.New("it does not say which session it is for")
	errAuthenticated = errors.New("it is authenticated, and no session here is")
)

// Parse checks a payload of UDP by the rules of RFC 5880 section 6.8.6 that need
// no session.
func Parse(b []byte) (p Packet, err error) {
	if len(b) < PacketLen {
		return p, errShort
	}
	flags := b[1]
	least := PacketLen
	if flags&flagAuthenticated != 0 {
		least += 2
	}
	length := int(b[3])
	p = Packet{
		Diag: Diag(b[0] & 0x1f), State: State(flags >> 6),
		Poll: flags&flagPoll != 0, Final: flags&flagFinal != 0, Independent: flags&flagIndependent != 0, Demand: flags&flagDemand != 0,
		Multiplier: b[2], My: binary.BigEndian.Uint32(b[4:]), Your: binary.BigEndian.Uint32(b[8:]),
		DesiredMinTx: micros(b[12:]), RequiredMinRx: micros(b[16:]), RequiredMinEcho: micros(b[20:]),
	}
	switch {
	case b[0]>>5 != version:
		return p, errVersion
	case length < least || length > len(b):
		return p, errLength
	case p.Multiplier == 0:
		return p, errMultiplier
	case flags&flagMultipoint != 0:
		return p, errMultipoint
	case p.My == 0:
		return p, errDiscriminator
	case p.Your == 0 && p.State != Down && p.State != AdminDown:
		return p, errYour
	case flags&flagAuthenticated != 0:
		return p, errAuthenticated
	}
	return p, nil
}

func micros(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Append encodes a packet.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State) << 6
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{{p.Poll, flagPoll}, {p.Final, flagFinal}, {p.Independent, flagIndependent}, {p.Demand, flagDemand}} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, version<<5|byte(p.Diag), flags, p.Multiplier, PacketLen)
	for _, v := range [...]uint32{p.My, p.Your, uint32(p.DesiredMinTx / time.Microsecond), uint32(p.RequiredMinRx / time.Microsecond), uint32(p.RequiredMinEcho / time.Microsecond)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
