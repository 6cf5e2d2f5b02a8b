package packet

import "testing"

func TestRender(t *testing.T) {
	p := New()
	defer p.Release()
	p.Data = append(p.Data, "aa..bb..cc..dd"...)
	p.Segments = []Segment{{End: 4}, {End: 8, Skip: 1}, {End: 12, Only: 2}, {End: 14}}
	p.NextHops = []int{2, 6, 10}
	for id, want := range map[ID]string{1: "aaXXdd", 2: "aaXXbbXXccXXdd", 3: "aaXXbbXXdd"} {
		if got := string(p.Render(nil, id, []byte("XX"))); got != want {
			t.Errorf("member %d gets %q, want %q", id, got, want)
		}
		if p.Plain(id, []byte("XX")) {
			t.Errorf("member %d: plain, although its next hop differs", id)
		}
	}
	if got := string(p.Render([]byte("-"), 3, nil)); got != "-aa..bb..dd" {
		t.Errorf("without a next hop: %q", got)
	}
	if p.Plain(1, nil) || !p.Plain(2, nil) || p.Plain(3, nil) {
		t.Error("Plain disagrees with the segments")
	}
}
