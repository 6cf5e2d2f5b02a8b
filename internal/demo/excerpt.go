//go:build ignore

// Excerpt cuts table.mrt.gz out of two dumps of RouteViews:
//
//	go run excerpt.go IPV4-DUMP IPV6-DUMP
//
// It keeps one neighbor of each, and of that one all prefixes of some origins,
// so that a network is there whole or not at all.

package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"

	"holdfast/internal/mrt"
)

// source is what is kept of a dump: the routes of one neighbor, of every origin
// AS whose number spread over 1..every comes out as 1, and of a few that people
// look for.
type source struct {
	neighbor netip.Addr
	every    uint32
}

var (
	ipv4  = source{netip.MustParseAddr("196.223.14.55"), 19}
	ipv6  = source{netip.MustParseAddr("2001:1620:1::203"), 7}
	known = map[uint32]bool{15169: true, 3333: true, 13335: true, 25152: true, 42: true}
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go run excerpt.go IPV4-DUMP IPV6-DUMP")
	}
	if err := run(os.Args[1], os.Args[2], "table.mrt.gz"); err != nil {
		log.Fatal(err)
	}
}

func run(dump4, dump6, out string) error {
	var ns []mrt.Neighbor
	var body []byte
	for i, s := range []source{ipv4, ipv6} {
		n, err := s.cut(&body, []string{dump4, dump6}[i], i)
		if err != nil {
			return err
		}
		ns = append(ns, n)
	}
	head, err := mrt.AppendNeighbors(nil, binary.BigEndian.Uint32(body), [4]byte{}, "excerpt", ns)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(append(head, body...)); err != nil {
		return err
	}
	return errors.Join(z.Close(), w.Flush(), f.Close())
}

// cut appends the records of s to body, with index as their only neighbor.
func (s source) cut(body *[]byte, name string, index int) (n mrt.Neighbor, err error) {
	f, err := os.Open(name)
	if err != nil {
		return n, err
	}
	defer f.Close()
	r, err := mrt.NewReader(f)
	if err != nil {
		return n, err
	}
	count := 0
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			fmt.Printf("%d routes of %v, AS%d\n", count, n.Addr, n.AS)
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for _, e := range rec.Entries {
			if r.Neighbors()[e.Neighbor].Addr != s.neighbor || !s.keeps(origin(e.Attrs)) {
				continue
			}
			n = r.Neighbors()[e.Neighbor]
			e.Neighbor = index
			kept := &mrt.Record{Seconds: rec.Seconds, Sequence: uint32(count), Prefix: rec.Prefix, Entries: []mrt.Entry{e}}
			if *body, err = mrt.AppendRIB(*body, kept); err != nil {
				return n, err
			}
			count++
			break
		}
	}
}

func (s source) keeps(as uint32) bool { return known[as] || as*2654435761>>8%s.every == 1 }

// origin is the last AS number of the AS_PATH.
func origin(attrs []byte) uint32 {
	for len(attrs) > 3 {
		at, n := 3, int(attrs[2])
		if attrs[0]&0x10 != 0 {
			at, n = 4, int(attrs[2])<<8|int(attrs[3])
		}
		if attrs[1] == 2 && n >= 6 {
			return binary.BigEndian.Uint32(attrs[at+n-4:])
		}
		attrs = attrs[at+n:]
	}
	return 0
}
