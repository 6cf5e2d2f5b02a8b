//go:build interop

package race

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "holdfast/testkit/netlab"
)

// restarted is how to restart what start has started.
func (r *run) restarted(start func()) func(func()) {
	start()
	return func(stopped func()) {
		for _, p := range r.procs {
			p.Stop()
		}
		stopped()
		start()
	}
}

func startHoldfast(r *run) func(func()) {
	conf := r.router.Write("holdfast.hcl", fmt.Sprintf(`
router {
  asn    = 65000
  id     = "10.1.1.1"
  listen = ["10.1.1.1:179", "10.1.2.1:179"]
}
policy "better" {
  rule "all" {
    set { local_pref = 200 }
    then = "accept"
  }
}
policy "all" {
  rule "all" { then = "accept" }
}
neighbor "a" {
  address  = %q
  asn      = 65001
  passive  = true
  families = ["ipv4"]
  import   = policy.better
}
neighbor "b" {
  address  = %q
  asn      = 65002
  passive  = true
  families = ["ipv4"]
  import   = policy.all
}
`, r.ends[0].V4, r.ends[1].V4))
	return r.restarted(func() {
		p := r.router.Start("holdfast", r.router.Command(HoldfastBinary(r), "run", "--config", conf,
			"--state", filepath.Join(r.router.Dir, "state"), "--socket", filepath.Join(r.router.Dir, "hf.sock")))
		r.procs = []*Process{p}
	})
}

func startBIRD(r *run) func(func()) {
	var s strings.Builder
	fmt.Fprintf(&s, "router id 10.1.1.1;\nprotocol device {}\nprotocol kernel {\n persist;\n ipv4 { import none; export all; };\n}\n")
	for i, better := range []string{"bgp_local_pref = 200;", ""} {
		fmt.Fprintf(&s, "protocol bgp n%d {\n local %s as 65000;\n neighbor %s as %d;\n passive on;\n ipv4 { import filter { %s accept; }; export none; };\n}\n",
			i, r.at[i].V4, r.ends[i].V4, asn(i), better)
	}
	conf := r.router.Write("bird.conf", s.String())
	return r.restarted(func() {
		p := r.router.Start("bird", r.router.Command("bird", "-f", "-c", conf, "-s", filepath.Join(r.router.Dir, "bird.ctl")))
		r.procs = []*Process{p}
	})
}

func startFRR(r *run) func(func()) {
	var s strings.Builder
	fmt.Fprintf(&s, "route-map better permit 10\n set local-preference 200\nrouter bgp 65000\n bgp router-id 10.1.1.1\n no bgp ebgp-requires-policy\n")
	for i := range r.ends {
		fmt.Fprintf(&s, " neighbor %s remote-as %d\n neighbor %[1]s passive\n", r.ends[i].V4, asn(i))
	}
	fmt.Fprintf(&s, " address-family ipv4 unicast\n  neighbor %s route-map better in\n exit-address-family\n", r.ends[0].V4)
	zebraConf, bgpdConf := r.router.Write("zebra.conf", ""), r.router.Write("bgpd.conf", s.String())
	return r.restarted(func() {
		const dir = "/usr/lib/frr/"
		api := filepath.Join(r.router.Dir, "zserv.api")
		_ = os.Remove(api) // of the one before
		args := func(name, conf string, more ...string) []string {
			return append([]string{"-f", conf, "-i", filepath.Join(r.router.Dir, name+".pid"), "-z", api, "--vty_socket", r.router.Dir,
				"-A", "127.0.0.1", "-u", "root", "-g", "frrvty", "--log", "stdout", "--log-level", "info"}, more...)
		}
		// Routes stay in the kernel over a restart, for a minute.
		zebra := r.router.Start("zebra", r.router.Command(dir+"zebra", args("zebra", zebraConf, "-r", "-K", "60")...))
		Await(r, Patience, "zebra", func() error {
			if err := zebra.Running(); err != nil {
				r.Fatal(err)
			}
			_, err := os.Stat(api)
			return err
		})
		bgpd := r.router.Start("bgpd", r.router.Command(dir+"bgpd", args("bgpd", bgpdConf)...))
		Await(r, Patience, "bgpd", func() error {
			if err := bgpd.Running(); err != nil {
				r.Fatal(err)
			}
			if !strings.Contains(zebra.Log(), "announce only bgp routes") {
				return errors.New("zebra has not heard of bgpd")
			}
			return nil
		})
		r.procs = []*Process{zebra, bgpd}
	})
}
