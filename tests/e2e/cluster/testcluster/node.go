package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// node is a mount and a network namespace with a containerd, a kubelet and a kube-proxy, all on their default paths.
// The process that makes the namespaces (`testcluster run-node`) stays, so that others can be started inside.
type node struct {
	*cluster
	number int
}

// ownFolders are a node's own: in its mount namespace, folders of the cluster's folder lie over the host's.
var ownFolders = []string{"/run", "/var/run", "/var/lib", "/var/log"}

const podsOfAllNodes = "10.91.0.0/16"

func nodeName(number int) string { return "node" + strconv.Itoa(number) }

func (n node) name() string    { return nodeName(n.number) }
func (n node) address() string { return nodeAddress(n.number) }
func (n node) cable() string   { return "rdnode" + strconv.Itoa(n.number) }
func (n node) cgroup() cgroup  { return n.cluster.cgroup() + cgroup("/"+n.name()) }

// pods is where the kubelet puts the cgroups of its pods.
func (n node) pods() cgroup { return n.cgroup() + "/pods" }

func nodeAddress(number int) string { return fmt.Sprintf("10.90.0.%d", 10+number) }
func podRange(number int) string    { return fmt.Sprintf("10.91.%d.0/24", number) }

func (c *cluster) node(name string) (node, error) {
	number, _ := strconv.Atoi(strings.TrimPrefix(name, "node"))
	n := node{c, number}
	if _, err := os.Stat(n.cgroup().path()); n.name() != name || err != nil {
		return n, fmt.Errorf("%s has no node %q", c.dir, name)
	}
	return n, nil
}

// nodes are those of the cluster that is up.
func (c *cluster) nodes() (all []node) {
	for number := 1; number <= maxNodes; number++ {
		if n, err := c.node(nodeName(number)); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// startNode starts `testcluster run-node` in new namespaces and puts the cable in.
func (c *cluster) startNode(ca *authority, number int) (*process, error) {
	n := node{c, number}
	server, err := os.ReadFile(c.path("server"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		n.pods().create(),
		os.MkdirAll(c.path(n.name(), "cni"), 0o755),
		os.WriteFile(c.path(n.name(), "resolv.conf"), []byte("nameserver "+hostAddress+"\n"), 0o644),
		ca.kubeconfig(c.path(n.name(), "kubelet.kubeconfig"), string(server), "system:node:"+n.name(), "system:nodes"),
	); err != nil {
		return nil, err
	}
	values := map[string]any{
		"Dir": c.dir, "Node": c.path(n.name()), "Pods": podRange(number), "PauseImage": pauseImage,
		"Cgroup": n.pods(), "DNS": dnsService,
	}
	for name, to := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "cni.conflist": "cni/pods.conflist",
	} {
		if err := render(name, c.path(n.name(), to), values); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	p, err := c.startAs(attributes, n.name(), self, "run-node", "--dir", c.dir, n.name())
	if err != nil {
		return nil, err
	}
	return p, n.plugIn(p.Process.Pid)
}

// run is what lives in the namespaces.
func (n node) run() error {
	if err := n.cgroup().join(); err != nil {
		return err
	}
	if err := n.mount(); err != nil {
		return err
	}
	if err := n.configureNetwork(); err != nil {
		return err
	}
	containerd, err := n.start(n.name()+"-containerd", "containerd", "--config", n.path(n.name(), "containerd.toml"))
	if err != nil {
		return err
	}
	if err := containerd.until(30*time.Second, "containerd", func() error { return run("ctr", "version") }); err != nil {
		return err
	}
	if err := importPauseImage(); err != nil {
		return err
	}
	if _, err := n.start(n.name()+"-kubelet", cache("bin/kubelet"), n.kubeletFlags()...); err != nil {
		return err
	}
	if _, err := n.start(n.name()+"-kube-proxy", cache("bin/kube-proxy"),
		"--kubeconfig="+n.path("kube-proxy.kubeconfig"), "--hostname-override="+n.name(),
		"--proxy-mode=nftables", "--cluster-cidr="+podsOfAllNodes,
		// These three would write sysctls that only the host may write.
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
	); err != nil {
		return err
	}
	select {} // until `down` kills it
}

func (n node) mount() error {
	// Nothing that is mounted here shows on the host; containers get what the kubelet mounts later.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return err
	}
	for _, folder := range []string{"/var/lib", "/var/log"} {
		own := n.path(n.name(), filepath.Base(folder))
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(own, folder, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s on %s: %w", own, folder, err)
		}
	}
	return syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
}

func (n node) kubeletFlags() []string {
	return []string{"--config=" + n.path(n.name(), "kubelet.yaml"), "--kubeconfig=" + n.path(n.name(), "kubelet.kubeconfig"),
		"--hostname-override=" + n.name(), "--node-ip=" + n.address()}
}

// inside makes a command that will run in the node's namespaces.
func (n node) inside(command ...string) (*exec.Cmd, error) {
	pid, err := n.initPid()
	if err != nil {
		return nil, err
	}
	return exec.Command("nsenter", append([]string{"--target", strconv.Itoa(pid), "--mount", "--net", "--"}, command...)...), nil
}

func (n node) initPid() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	pid := n.cgroup().find(filepath.Base(self))
	if pid == 0 {
		return 0, fmt.Errorf("%s does not run", n.name())
	}
	return pid, nil
}

func (n node) killKubelet() error {
	pid := n.cgroup().find("kubelet")
	if pid == 0 {
		return errors.New("no kubelet runs there")
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (n node) startKubelet() error {
	if n.cgroup().find("kubelet") != 0 {
		return errors.New("a kubelet runs there")
	}
	command, err := n.inside(append([]string{cache("bin/kubelet")}, n.kubeletFlags()...)...)
	if err != nil {
		return err
	}
	if err := n.cgroup().join(); err != nil {
		return err
	}
	_, err = n.start(n.name()+"-kubelet", command.Path, command.Args[1:]...)
	return err
}

// load gives image archives to every node, to all nodes at once.
func (c *cluster) load(archives []string) error {
	loads := make(chan error)
	nodes := c.nodes()
	for _, n := range nodes {
		go func() {
			var err error
			for _, archive := range archives {
				err = errors.Join(err, n.importImage(archive))
			}
			loads <- err
		}()
	}
	var err error
	for range nodes {
		err = errors.Join(err, <-loads)
	}
	return err
}

func (n node) importImage(archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	command, err := n.inside("ctr", "--namespace", "k8s.io", "images", "import", "-")
	if err != nil {
		return err
	}
	command.Stdin = file
	_, err = output(command)
	return err
}

// configureNetwork waits for the cable. There is no default route: nothing leaves this machine.
func (n node) configureNetwork() error {
	if err := wait(10*time.Second, "the cable", func() error {
		_, err := net.InterfaceByName("eth0")
		return err
	}); err != nil {
		return err
	}
	commands := [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", n.address() + "/24", "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		{"route", "add", serviceRange, "via", hostAddress}, // kube-proxy turns it aside before it leaves
	}
	for other := 1; other <= maxNodes; other++ {
		if other != n.number {
			commands = append(commands, []string{"route", "add", podRange(other), "via", nodeAddress(other)})
		}
	}
	if err := ip(commands...); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
