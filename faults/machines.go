package faults

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine is a network namespace with two links: one to us, for its clients and its operator, and one to the other
// machines. Only a case that is apart may have some; they end with it.
type machine struct {
	name    string
	link    string // our end of its link to the others
	clients string // its address for clients
	between string // its address for other machines
}

// The switch between the machines, and the directory in which the command ip keeps namespaces.
const (
	betweenMachines = "between"
	namespaces      = "/var/run/netns"
)

// buildMachines makes n machines that reach each other.
func buildMachines(n int) ([]*machine, error) {
	if err := os.MkdirAll(namespaces, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", namespaces, "tmpfs", 0, ""); err != nil { // names are ours alone
		return nil, fmt.Errorf("a directory for namespaces: %w", err)
	}
	if err := ip("link add "+betweenMachines+" type bridge", "addr add 10.78.0.254/24 dev "+betweenMachines, "link set "+betweenMachines+" up"); err != nil {
		return nil, err
	}
	var all []*machine
	for i := range n {
		m := &machine{
			name: fmt.Sprintf("m%d", i), link: fmt.Sprintf("link%d", i),
			clients: fmt.Sprintf("10.77.%d.2", i), between: fmt.Sprintf("10.78.0.%d", i+1),
		}
		ours := fmt.Sprintf("clients%d", i)
		inside := "-n " + m.name + " "
		err := ip(
			"netns add "+m.name, inside+"link set lo up",
			"link add "+ours+" type veth peer name clients netns "+m.name,
			fmt.Sprintf("addr add 10.77.%d.1/24 dev %s", i, ours), "link set "+ours+" up",
			inside+"addr add "+m.clients+"/24 dev clients", inside+"link set clients up",
			"link add "+m.link+" type veth peer name others netns "+m.name,
			"link set "+m.link+" master "+betweenMachines, "link set "+m.link+" up",
			inside+"addr add "+m.between+"/24 dev others", inside+"link set others up",
		)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// ip runs the command ip for each line.
func ip(lines ...string) error {
	for _, line := range lines {
		if err := command("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// isolate drops all packets between the machines and all others, until rejoin. Their clients reach them.
func isolate(machines ...*machine) error {
	var rules strings.Builder
	for _, m := range machines {
		fmt.Fprintf(&rules, "iifname %[1]q drop; oifname %[1]q drop;\n", m.link)
	}
	return nft("table bridge rocket-faults {\n chain forward {\n type filter hook forward priority 0;\n" + rules.String() + "}\n}\n")
}

// rejoin ends isolate.
func rejoin() error { return nft("delete table bridge rocket-faults") }

// throttle lets only so much through to the machine from the others, and as much from it, until unthrottle.
func (m *machine) throttle(rate string) error {
	for _, where := range m.ends() {
		if err := command("tc", append(where, "root", "tbf", "rate", rate, "burst", "4kb", "latency", "200ms")...); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) unthrottle() error {
	for _, where := range m.ends() {
		for i := range where {
			if where[i] == "add" {
				where[i] = "del"
			}
		}
		if err := command("tc", append(where, "root")...); err != nil {
			return err
		}
	}
	return nil
}

// ends are how the command tc adds something at both ends of the link to the others.
func (m *machine) ends() [][]string {
	return [][]string{{"qdisc", "add", "dev", m.link}, {"-n", m.name, "qdisc", "add", "dev", "others"}}
}
