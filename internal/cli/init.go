package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/starter"
)

// initFlags are the answers that init needs, as text.
type initFlags struct {
	shape, asn, id                          string
	prefixes, transits, peers, routeServers []string
}

func (a *app) initCommand() *cobra.Command {
	o := &initFlags{}
	c := &cobra.Command{
		Use:   "init [PATH]",
		Short: "Write a first configuration, with comments",
		Long: `Writes a configuration that runs as it is: own prefixes announced, what nobody
may announce refused, no leaks, limits for every neighbor, each block explained,
and recipes for more. PATH is a file or a directory, ` + defaultConfig + ` if
not given, or - for standard output; a file that exists is never overwritten. On
a terminal it asks for what the flags do not say.`,
		Example: `  holdfast init --asn 64500 --id 192.0.2.1 --prefix 203.0.113.0/24 --transit 64501@192.0.2.9 --transit 64502@198.51.100.9
  holdfast init --for ix --asn 64500 --id 192.0.2.1 --prefix 2001:db8::/32 --route-server 64510@2001:db8:ffff::1 ix.hcl`,
		Args:        between(0, 1),
		Annotations: map[string]string{here: "writes a file"},
		RunE: func(_ *cobra.Command, args []string) error {
			path := defaultConfig
			if len(args) > 0 {
				path = args[0]
			}
			return a.initialize(path, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.shape, "for", string(starter.Edge), "`what` the router is for: "+list(starter.Shapes))
	f.StringVar(&o.asn, "asn", "", "our AS `number`")
	f.StringVar(&o.id, "id", "", "router ID: an IPv4 `address` of this router")
	f.StringArrayVar(&o.prefixes, "prefix", nil, "a `prefix` of our own; may be repeated, as all that follow")
	f.StringArrayVar(&o.transits, "transit", nil, "a provider, as `AS@ADDRESS`")
	f.StringArrayVar(&o.peers, "peer", nil, "a peer, as `AS@ADDRESS`")
	f.StringArrayVar(&o.routeServers, "route-server", nil, "a route server of an exchange, as `AS@ADDRESS`")
	complete(c, "for", cobra.FixedCompletions(starter.Shapes, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) initialize(path string, o *initFlags) error {
	path, err := free(path)
	if err != nil {
		return err
	}
	if err := a.answer(o); err != nil {
		return err
	}
	options, err := o.options()
	if err != nil {
		return err
	}
	text, err := starter.Write(options)
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := a.Out.Write(text)
		return err
	}
	if err := create(path, text); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, reasonOf(err))
	}
	_, err = fmt.Fprintf(a.Out, "%s is written. Read it, then:\n  holdfast check %[1]s\n  holdfast run --config %[1]s\n", quote(path))
	return err
}

// free finds the file that path means, and makes sure that nothing is there.
func free(path string) (string, error) {
	if path == "-" {
		return path, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", fmt.Errorf("cannot write %s: %w", path, reasonOf(err))
	case info.IsDir():
		if files, err := config.Files(path); err == nil {
			return "", fmt.Errorf("%s has a configuration already: %s", path, strings.Join(files, ", "))
		}
		return filepath.Join(path, filepath.Base(defaultConfig)), nil
	}
	return "", fmt.Errorf("%s exists already: name another file, or move it away", path)
}

// create writes a file that must not exist, and the directory that it is in.
func create(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// reasonOf is an error of package os without the path, which is told already.
func reasonOf(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// question is an answer that is missing.
type question struct {
	flag, text string
	to         func(string)
}

// missing are the questions whose answers no flag has given.
func (o *initFlags) missing() (all []question) {
	one := func(flag, text string, to *string) {
		if *to == "" {
			all = append(all, question{flag, text, func(s string) { *to = s }})
		}
	}
	many := func(flag, text string, to *[]string, enough bool) {
		if len(*to) == 0 && !enough {
			all = append(all, question{flag, text, func(s string) { *to = strings.Fields(s) }})
		}
	}
	one("asn", "Our AS number", &o.asn)
	one("id", "Router ID, an IPv4 address of this router", &o.id)
	many("prefix", "Our own prefixes, with blanks between", &o.prefixes, false)
	if o.shape == string(starter.IX) {
		many("route-server", "Route servers, as AS@ADDRESS, with blanks between", &o.routeServers, len(o.peers) > 0)
	} else {
		many("transit", "Transits, as AS@ADDRESS, with blanks between", &o.transits, false)
	}
	return all
}

// answer asks for what is missing, if there is somebody to ask.
func (a *app) answer(o *initFlags) error {
	missing := o.missing()
	if len(missing) > 0 && !terminal(a.In) {
		var flags []string
		for _, q := range missing {
			flags = append(flags, "--"+q.flag)
		}
		return fmt.Errorf("say %s (see \"holdfast init --help\")", strings.Join(flags, ", "))
	}
	return o.ask(missing, a.In, a.Err)
}

// ask asks until each answer can be used.
func (o *initFlags) ask(missing []question, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for _, q := range missing {
		for {
			fmt.Fprintf(out, "%s: ", q.text)
			if !lines.Scan() {
				return errors.New("no answer")
			}
			if q.to(strings.TrimSpace(lines.Text())); slices.ContainsFunc(o.missing(), func(still question) bool { return still.flag == q.flag }) {
				continue
			}
			_, err := o.options()
			if err == nil {
				break
			}
			fmt.Fprintf(out, "%s\n", err)
		}
	}
	return nil
}

// options reads the answers that are there.
func (o *initFlags) options() (out starter.Options, err error) {
	out.Shape = starter.Shape(o.shape)
	if o.asn != "" {
		if out.ASN, err = policy.ParseASN(o.asn); err != nil {
			return out, err
		}
	}
	if o.id != "" {
		if out.ID, err = netip.ParseAddr(o.id); err != nil || !out.ID.Is4() {
			return out, fmt.Errorf("%q is no router ID: write an IPv4 address of this router", o.id)
		}
	}
	for _, s := range o.prefixes {
		p, err := prefix.Parse(s)
		if err != nil {
			return out, err
		}
		out.Prefixes = append(out.Prefixes, p)
	}
	for _, list := range []struct {
		from []string
		to   *[]starter.Neighbor
	}{{o.transits, &out.Transits}, {o.peers, &out.Peers}, {o.routeServers, &out.RouteServers}} {
		for _, s := range list.from {
			n, err := starter.ParseNeighbor(s)
			if err != nil {
				return out, err
			}
			*list.to = append(*list.to, n)
		}
	}
	return out, nil
}
