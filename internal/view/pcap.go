package view

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	pb "holdfast/internal/api/holdfastv1"
)

// Pcap writes the messages of a trace as packets that were captured would be,
// for Wireshark and its like. IP and TCP headers are made up, but for addresses
// and ports: each message begins a segment.
type Pcap struct {
	w    io.Writer
	next map[[2]netip.AddrPort]uint32 // sequence numbers, by the direction
	buf  []byte
}

const (
	pcapMagic   = 0xa1b23c4d // times are nanoseconds
	pcapSnap    = 1 << 18
	linkTypeRaw = 101      // the packet begins with its IP header
	maxSegment  = 32 << 10 // of the longest message: an IP packet holds no more than 64 KB
	tcpHeader   = 20
	tcpPushAck  = 0x18
)

// NewPcap begins a file.
func NewPcap(w io.Writer) (*Pcap, error) {
	var h []byte
	for _, v := range []uint32{pcapMagic, 2 | 4<<16, 0, 0, pcapSnap, linkTypeRaw} {
		h = binary.LittleEndian.AppendUint32(h, v)
	}
	_, err := w.Write(h)
	return &Pcap{w: w, next: map[[2]netip.AddrPort]uint32{}}, err
}

// Event writes a message; notes have no place in a capture.
func (p *Pcap) Event(e *pb.TraceEvent) error {
	from, err1 := netip.ParseAddrPort(e.Local)
	to, err2 := netip.ParseAddrPort(e.Remote)
	if e.Note != "" || err1 != nil || err2 != nil {
		return nil
	}
	if !e.Sent {
		from, to = to, from
	}
	at := e.At.AsTime()
	for m := e.Message; len(m) > 0; {
		n := min(len(m), maxSegment)
		if err := p.packet(at, from, to, m[:n]); err != nil {
			return err
		}
		m = m[n:]
	}
	return nil
}

// packet writes one, in one piece: whoever reads a pipe sees it at once.
func (p *Pcap) packet(at time.Time, from, to netip.AddrPort, data []byte) error {
	b := p.buf[:0]
	for range 4 {
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	src, dst := from.Addr().WithZone("").AsSlice(), to.Addr().WithZone("").AsSlice()
	size := tcpHeader + len(data)
	ip := len(b)
	if from.Addr().Is4() { // RFC 791
		b = append(b, 0x45, 0xc0) // DSCP CS6, as sessions have it
		b = binary.BigEndian.AppendUint16(b, uint16(20+size))
		b = append(b, 0, 0, 0x40, 0, 64, 6, 0, 0)
		b = append(append(b, src...), dst...)
		binary.BigEndian.PutUint16(b[ip+10:], checksum(0, b[ip:]))
	} else { // RFC 8200
		b = append(b, 0x6c, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(size))
		b = append(b, 6, 64)
		b = append(append(b, src...), dst...)
	}
	tcp := len(b) // RFC 9293
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, 1+p.next[[2]netip.AddrPort{from, to}])
	b = binary.BigEndian.AppendUint32(b, 1+p.next[[2]netip.AddrPort{to, from}])
	b = append(b, tcpHeader/4<<4, tcpPushAck, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, data...)
	pseudo := append(append([]byte{0, 6}, src...), dst...)
	binary.BigEndian.PutUint16(b[tcp+16:], checksum(sum(uint32(size), pseudo), b[tcp:]))
	p.next[[2]netip.AddrPort{from, to}] += uint32(len(data))

	binary.LittleEndian.PutUint32(b, uint32(at.Unix()))
	binary.LittleEndian.PutUint32(b[4:], uint32(at.Nanosecond()))
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-ip))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-ip))
	p.buf = b
	_, err := p.w.Write(b)
	return err
}

// checksum is the Internet's (RFC 1071).
func checksum(s uint32, b []byte) uint16 {
	s = sum(s, b)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}
