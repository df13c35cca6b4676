package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/build"
)

// Result is what is known after a run. Fields that do not apply are left out.
type Result struct {
	Label       string    `json:"label"`            // of the run among others, such as "S1 fanout"
	Column      string    `json:"column,omitempty"` // of a table; empty: that of the dialect
	Scenario    string    `json:"scenario"`
	Options     Options   `json:"options"`
	Started     time.Time `json:"started"`
	Machine     Machine   `json:"machine"`
	Server      []string  `json:"serverCommand,omitempty"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Error       string    `json:"error,omitempty"`

	Published int64            `json:"published"` // publishes in all, warm-up included
	Check     Check            `json:"check"`
	Refusals  map[string]int64 `json:"refusals,omitempty"`
	TLS       *TLS             `json:"tls,omitempty"`
	Connect   *Connects        `json:"connect,omitempty"`
	Load      *Load            `json:"load,omitempty"`
	Latency   *Latency         `json:"latency,omitempty"`
	Acks      *Latency         `json:"acks,omitempty"` // from when a publish was due until its answer
	Seconds   []Second         `json:"seconds,omitempty"`
	Probe     *Latency         `json:"probe,omitempty"` // latency in another channel meanwhile
	Memory    *Memory          `json:"memory,omitempty"`
	Idle      *Idle            `json:"idle,omitempty"`
	Rounds    []Round          `json:"rounds,omitempty"` // broadcast
	Storms    []Storm          `json:"storms,omitempty"`
	Returns   []Return         `json:"returns,omitempty"` // recovery
	Slow      *Slow            `json:"slow,omitempty"`
	Churn     *Churn           `json:"churn,omitempty"`
	Floor     []FloorResult    `json:"floor,omitempty"`
	Ratio     float64          `json:"ratioToFloor,omitempty"` // server CPU per delivery to the first of Floor
	Warnings  []string         `json:"warnings,omitempty"`

	UringRatio float64              `json:"ratioToUringFloor,omitempty"` // and to its sends through io_uring
	ToBestPeer map[string]PeerRatio `json:"toBestPeer,omitempty"`        // per metric, in a set with several servers
	ToPlain    float64              `json:"toWithoutHistory,omitempty"`  // server CPU, to the same load without a history
	Lacks      string               `json:"lacks,omitempty"`             // what the server cannot do of the scenario: its figures are for less work
	NotRun     string               `json:"notRun,omitempty"`            // why there are no figures at all
}

// Machine is where it ran.
type Machine struct {
	Host   string `json:"host"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	TCP    string `json:"tcp"`              // congestion control
	Commit string `json:"commit,omitempty"` // empty: unknown
}

// TLS is what the connections of a run agreed on with the server.
type TLS struct {
	Agreed     string `json:"agreed"`     // version, cipher, key exchange
	Handshakes int64  `json:"handshakes"` // done; none is resumed
}

// Connects is how the connections came about: TCP, TLS if there is TLS, handshake, authentication and subscription.
type Connects struct {
	Count           int     `json:"count"`
	Seconds         float64 `json:"seconds"`
	PerSecond       float64 `json:"perSecond"`
	ServerMicros    float64 `json:"serverMicrosEach,omitempty"`
	GeneratorMicros float64 `json:"generatorMicrosEach"`
	SetUpP99        float64 `json:"setUpP99"` // milliseconds
	SourceAddress   int     `json:"sourceAddresses"`
}

// Load is what happened in the measured window.
type Load struct {
	Seconds             float64 `json:"seconds"`
	Publishes           int64   `json:"publishes"`
	Deliveries          int64   `json:"deliveries"`
	DeliveriesPerSecond float64 `json:"deliveriesPerSecond"`
	ServerMicros        float64 `json:"serverMicrosPerDelivery,omitempty"`
	GeneratorMicros     float64 `json:"generatorMicrosPerDelivery"`
	OtherMicros         float64 `json:"otherMicrosPerPublish,omitempty"`  // of the nodes beside the one that is measured; of all three
	BrokerMicros        float64 `json:"brokerMicrosPerPublish,omitempty"` // of the server between them
	ServerBusy          float64 `json:"serverBusy,omitempty"`             // CPUs' worth
	GeneratorBusy       float64 `json:"generatorBusy"`                    // of its threads, 0 to 1
	PerRead             float64 `json:"deliveriesPerRead"`
	PerWrite            float64 `json:"messagesPerServerWrite,omitempty"` // by TCP segments
	BytesPerDelivery    int     `json:"bytesPerDelivery"`
	Stolen              float64 `json:"stolen"`  // CPUs' worth that the machine was not given
	Others              float64 `json:"others"`  // CPUs' worth that other processes used
	Dropped             int64   `json:"dropped"` // packets, by the kernel
}

// Memory is that of the server before and after connections, or before and after a load.
type Memory struct {
	Before        int64   `json:"before"`
	After         int64   `json:"after"`
	PerConn       float64 `json:"bytesPerConnection,omitempty"`
	KernelPerConn float64 `json:"kernelBytesPerConnection,omitempty"` // both ends, if both are on this machine
}

// Idle is what it costs to hold connections.
type Idle struct {
	Seconds    float64 `json:"seconds"`
	Pings      int64   `json:"pings"`
	ServerBusy float64 `json:"serverBusy"` // CPUs' worth
	AfterHold  int64   `json:"residentAfterHold"`
}

// Round is one broadcast: when the first, the middle and the last subscriber had it, in milliseconds.
type Round struct {
	Receivers int     `json:"receivers"`
	First     float64 `json:"first"`
	Median    float64 `json:"median"`
	Last      float64 `json:"last"`
}

// Storm is one time that all connections dropped and came back.
type Storm struct {
	Seconds      float64 `json:"seconds"` // until all are subscribed again
	PerSecond    float64 `json:"perSecond"`
	ServerMicros float64 `json:"serverMicrosEach,omitempty"`
}

// Return is one time that all subscribers came back.
type Return struct {
	Clients      int     `json:"clients"`
	Seconds      float64 `json:"seconds"` // until each is subscribed and has what it had missed
	PerSecond    float64 `json:"perSecond"`
	ServerMicros float64 `json:"serverMicrosEach,omitempty"`
}

// Slow is what readers that stall do to the others.
type Slow struct {
	Stalled      int     `json:"stalled"`
	Disconnected int     `json:"disconnected"` // of those, by the server
	Before       Latency `json:"before"`       // of the others, while all read
}

// Churn is the coming and going.
type Churn struct {
	Joins int64   `json:"joins"`
	Join  Latency `json:"join"` // from the time it was due until subscribed
}

// Good reports whether the run ended by itself and all deliveries were right.
func (r *Result) Good() bool { return r.Error == "" && r.Check.Good() }

// ThisMachine describes the machine, and the commit that this program was built from.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Commit: build.Commit()}
	m.Host, _ = os.Hostname()
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	control, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	m.TCP = strings.TrimSpace(string(control))
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// WriteJSON writes results as one JSON array.
func WriteJSON(w io.Writer, results []*Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(r io.Reader) ([]*Result, error) {
	var results []*Result
	if err := json.NewDecoder(r).Decode(&results); err != nil {
		return nil, fmt.Errorf("not a result of rocket-bench: %w", err)
	}
	return results, nil
}
