package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/packet"
)

// numbers gives neighbors their IDs. Those with a block keep them for as long as
// the process runs, so that an ID never means two neighbors. One with other AS
// numbers is another neighbor: what is stored about its routes does not hold
// for them. Neighbors of ranges come and go without end, and their IDs are used
// again, as soon as the engine has nothing of the one before.
type numbers struct {
	given map[identity]packet.ID
	last  packet.ID   // of those that were ever given
	left  []packet.ID // given back, and perhaps still used by the engine
	free  []packet.ID
	// tables are numbered by name in the order in which they came up, the main
	// one first.
	tables []string
}

type identity struct {
	name                    string
	asn, localASN, otherASN uint32
	table                   string
}

func identityOf(n *config.Neighbor) identity {
	return identity{n.Name, n.Transport.ASN, n.Transport.LocalASN, n.Transport.OtherASN, cmp.Or(n.Table, config.MainTable)}
}

// find is 0 for a neighbor without an ID.
func (m *numbers) find(n *config.Neighbor) packet.ID { return m.given[identityOf(n)] }

func (m *numbers) of(n *config.Neighbor) (id packet.ID, err error) {
	switch id = m.find(n); {
	case id != 0:
		return id, nil
	case len(m.free) > 0:
		id, m.free = m.free[0], m.free[1:]
	case m.last < math.MaxUint16:
		m.last++
		id = m.last
	default:
		return 0, fmt.Errorf("cannot number neighbor %q: this process has seen %d neighbors; restart it", n.Name, m.last)
	}
	if m.given == nil {
		m.given = map[identity]packet.ID{}
	}
	m.given[identityOf(n)] = id
	return id, nil
}

// full: there is no ID for one more.
func (m *numbers) full() bool { return m.last == math.MaxUint16 && len(m.free) == 0 }

// leave takes a neighbor's ID back.
func (m *numbers) leave(n *config.Neighbor) {
	if id := m.find(n); id != 0 {
		delete(m.given, identityOf(n))
		m.left = append(m.left, id)
	}
}

// unused makes IDs free that the engine says it has nothing of.
func (m *numbers) unused(free []packet.ID) {
	m.left = slices.DeleteFunc(m.left, func(id packet.ID) bool { return slices.Contains(free, id) })
	m.free = append(m.free, free...)
}

// table is the number of a table, "" being the main one.
func (m *numbers) table(name string) (engine.TableID, error) {
	if len(m.tables) == 0 {
		m.tables = []string{config.MainTable}
	}
	if name == "" {
		name = config.MainTable
	}
	i := slices.Index(m.tables, name)
	if i < 0 {
		if i = len(m.tables); i > math.MaxUint8 {
			return 0, fmt.Errorf("cannot number table %q: this process has seen %d tables; restart it", name, i)
		}
		m.tables = append(m.tables, name)
	}
	return engine.TableID(i), nil
}

// clone is for trying: it hands no numbers out.
func (m *numbers) clone() *numbers {
	return &numbers{maps.Clone(m.given), m.last, slices.Clone(m.left), slices.Clone(m.free), slices.Clone(m.tables)}
}
