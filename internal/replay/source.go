package replay

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
)

// Selection says whose routes of a dump are played. The zero value takes the
// neighbor with the most routes. Of several fields all must fit.
type Selection struct {
	Index int        // number in the dump's list, from 1; 0 is any
	Addr  netip.Addr // invalid is any
	AS    uint32     // 0 is any
	// All plays the routes of every neighbor as if they were of one: of a table
	// the shortest path of each prefix, of updates all of them.
	All bool
}

func (s Selection) fits(i int, n mrt.Neighbor) bool {
	return (s.Index == 0 || s.Index == i+1) && (!s.Addr.IsValid() || s.Addr == n.Addr) && (s.AS == 0 || s.AS == n.AS)
}

func (s Selection) String() string {
	var parts []string
	if s.Index != 0 {
		parts = append(parts, fmt.Sprintf("number %d", s.Index))
	}
	if s.Addr.IsValid() {
		parts = append(parts, s.Addr.String())
	}
	if s.AS != 0 {
		parts = append(parts, fmt.Sprintf("AS%d", s.AS))
	}
	return strings.Join(parts, ", ")
}

// From is a neighbor of a dump and what the dump has of it, in the families
// that are played.
type From struct {
	Index int // from 1, as Selection wants it
	mrt.Neighbor
	Routes  int // of a table
	Updates int // UPDATE messages
}

// Contents is what a first reading of a file finds.
type Contents struct {
	From     []From                // in the order of the dump, those without routes included
	Table    bool                  // paths of a table; false: messages
	AddPath  [prefix.Families]bool // with path ids
	Damaged  int                   // records that could not be decoded
	Complain error                 // about the first of them
	messages int
}

// walk calls visit for each record of the file that can be decoded, and now and
// then progress with the bytes of the file that have been read. Both can stop
// it. It returns how many records are damaged, and what is wrong with the first.
func walk(file string, progress func(read int64) error, visit func(*mrt.Reader, *mrt.Record) error) (damaged int, complain, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot read the dump %s: %w", file, cause(err))
	}
	defer f.Close() // only read: nothing can be lost
	r, err := mrt.NewReader(f)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", file, err)
	}
	for records := 0; ; {
		rec, err := r.Next()
		var bad *mrt.FormatError
		switch {
		case errors.Is(err, io.EOF):
			return damaged, complain, nil
		case errors.As(err, &bad):
			if damaged++; complain == nil {
				complain = err
			}
		case err != nil:
			return damaged, complain, fmt.Errorf("%s: %w", file, err)
		default:
			if err := visit(r, rec); err != nil {
				return damaged, complain, err
			}
		}
		if records++; records%1024 == 0 {
			if err := progress(r.InputBytes()); err != nil {
				return damaged, complain, err
			}
		}
	}
}

// Inspect reads a file once and counts what it has of each neighbor in the
// given families.
func Inspect(file string, families [prefix.Families]bool, progress func(read int64) error) (Contents, error) {
	var c Contents
	table := 0
	index := map[mrt.Neighbor]int{}
	at := func(n mrt.Neighbor) *From {
		i, ok := index[n]
		if !ok {
			i = len(c.From)
			index[n] = i
			c.From = append(c.From, From{Index: i + 1, Neighbor: n})
		}
		return &c.From[i]
	}
	var local []int // the current table's index → index in c.From
	var err error
	c.Damaged, c.Complain, err = walk(file, progress, func(r *mrt.Reader, rec *mrt.Record) error {
		switch rec.Kind {
		case mrt.Neighbors:
			local = local[:0]
		case mrt.RIB:
			if !families[rec.Prefix.Family] {
				return nil
			}
			for i := len(local); i < len(r.Neighbors()); i++ {
				local = append(local, at(r.Neighbors()[i]).Index-1)
			}
			for i := range rec.Entries {
				c.From[local[rec.Entries[i].Neighbor]].Routes++
			}
			table += len(rec.Entries)
			c.AddPath[rec.Prefix.Family] = c.AddPath[rec.Prefix.Family] || rec.AddPath
		case mrt.Message:
			if !rec.Local && isUpdate(rec.Message) {
				at(sender(rec)).Updates++
				c.messages++
				for f := range c.AddPath {
					c.AddPath[f] = c.AddPath[f] || rec.AddPath
				}
			}
		}
		return nil
	})
	c.Table = table > 0
	if err == nil && table == 0 && c.messages == 0 {
		err = fmt.Errorf("%s has no routes and no UPDATE messages of the wanted families", file)
	}
	return c, err
}

// sender is who sent a recorded message.
func sender(rec *mrt.Record) mrt.Neighbor { return mrt.Neighbor{Addr: rec.PeerAddr, AS: rec.PeerAS} }

func isUpdate(message []byte) bool { return message[18] == 2 }

// size is what a selection by "the most" compares.
func (c *Contents) size(f *From) int {
	if c.Table {
		return f.Routes
	}
	return f.Updates
}

// Choose finds the neighbor whose routes are played: the largest of those that
// fit. It is meant for Selection.All as well, whose session takes its AS number.
func (c *Contents) Choose(s Selection) (From, error) {
	var best *From
	for i := range c.From {
		if f := &c.From[i]; (s.All || s.fits(i, f.Neighbor)) && (best == nil || c.size(f) > c.size(best)) {
			best = f
		}
	}
	switch {
	case best == nil:
		return From{}, fmt.Errorf("the dump has no neighbor %v; it has %s", s, c.list())
	case c.size(best) == 0:
		return From{}, fmt.Errorf("the dump has no routes of %v; it has %s", s, c.list())
	}
	return *best, nil
}

// list names the largest neighbors, for errors.
func (c *Contents) list() string {
	all := slices.Clone(c.From)
	slices.SortStableFunc(all, func(a, b From) int { return c.size(&b) - c.size(&a) })
	var out []string
	for i, f := range all {
		if i == 5 {
			out = append(out, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		what := "routes"
		if !c.Table {
			what = "updates"
		}
		out = append(out, fmt.Sprintf("%d: %v AS%d (%d %s)", f.Index, f.Addr, f.AS, c.size(&f), what))
	}
	return strings.Join(out, ", ")
}

// fileSize is for the progress.
func fileSize(file string) (int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, fmt.Errorf("cannot read the dump %s: %w", file, cause(err))
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("cannot read the dump %s: it is no regular file, and it must be read twice", file)
	}
	return info.Size(), nil
}
