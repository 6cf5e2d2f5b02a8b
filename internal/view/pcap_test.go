package view_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/view"
)

// TestPcap: packets with addresses, sequence numbers and checksums that fit, as
// many as a long message takes.
func TestPcap(t *testing.T) {
	var b bytes.Buffer
	p, err := view.NewPcap(&b)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 123456789)
	long := bytes.Repeat([]byte{7}, 65535)
	for _, e := range []*pb.TraceEvent{
		{Note: "connected", Local: "192.0.2.1:40000", Remote: "192.0.2.9:179"},
		{Sent: true, Local: "192.0.2.1:40000", Remote: "192.0.2.9:179", Message: []byte("hello")},
		{Local: "192.0.2.1:40000", Remote: "192.0.2.9:179", Message: []byte("answer")},
		{Sent: true, Local: "192.0.2.1:40000", Remote: "192.0.2.9:179", Message: long},
		{Sent: true, Local: "[fe80::1%eth0]:179", Remote: "[fe80::9%eth0]:50000", Message: []byte("six")},
		{Message: []byte("nowhere")},
	} {
		e.At = timestamppb.New(at)
		if err := p.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	le, be := binary.LittleEndian, binary.BigEndian
	all := b.Bytes()
	if le.Uint32(all) != 0xa1b23c4d || le.Uint32(all[20:]) != 101 {
		t.Fatalf("the file begins with %x", all[:24])
	}
	type packet struct {
		src, dst string
		seq, ack uint32
		size     int
	}
	var got []packet
	for all = all[24:]; len(all) > 0; {
		n := int(le.Uint32(all[8:]))
		if le.Uint32(all) != 1700000000 || le.Uint32(all[4:]) != 123456789 || le.Uint32(all[12:]) != uint32(n) {
			t.Fatalf("a record begins with %x", all[:16])
		}
		ip := all[16 : 16+n]
		all = all[16+n:]
		addrs, tcp := ip[12:20], ip[20:]
		if ip[0]>>4 == 6 {
			addrs, tcp = ip[8:40], ip[40:]
			if int(be.Uint16(ip[4:])) != len(tcp) {
				t.Errorf("the IPv6 header is %x", ip[:40])
			}
		} else if int(be.Uint16(ip[2:])) != n || ones(ip[:20]) != 0xffff {
			t.Errorf("the IPv4 header is %x", ip[:20])
		}
		pseudo := append(bytes.Clone(addrs), 0, 6, byte(len(tcp)>>8), byte(len(tcp)))
		if ones(append(pseudo, tcp...)) != 0xffff {
			t.Errorf("the checksum of %x is wrong", tcp[:20])
		}
		half := len(addrs) / 2
		got = append(got, packet{string(addrs[:half]), string(addrs[half:]), be.Uint32(tcp[4:]), be.Uint32(tcp[8:]), len(tcp) - 20})
	}
	us, they := string([]byte{192, 0, 2, 1}), string([]byte{192, 0, 2, 9})
	want := []packet{{us, they, 1, 1, 5}, {they, us, 1, 6, 6}, {us, they, 6, 7, 32768}, {us, they, 32774, 7, 32767}}
	if len(got) != 5 || got[4].size != 3 || len(got[4].src) != 16 {
		t.Fatalf("there are %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("packet %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

// ones is the sum of RFC 1071: ffff over what holds its own checksum.
func ones(b []byte) uint32 {
	s := uint32(0)
	for i, x := range b {
		s += uint32(x) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}
