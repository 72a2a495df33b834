package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is a folder that holds all of a cluster's files, and the cgroup that holds all of its processes.
type cluster struct{ dir string }

// marker is the file that makes a folder one that `down` may remove.
const marker = "this-is-a-raftduck-testcluster"

func open(dir string) (*cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, own := range ownFolders {
		if strings.HasPrefix(dir+"/", own+"/") {
			return nil, fmt.Errorf("%s: a node has its own %s and would not see it", dir, own)
		}
	}
	return &cluster{dir}, nil
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// hash is short, and another one for every folder.
func (c *cluster) hash() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(c.dir)))[:8]
}

func (c *cluster) cgroup() cgroup { return cgroup("raftduck-testcluster-" + c.hash()) }

func (c *cluster) up(nodes int) error {
	if nodes < 0 || nodes > maxNodes {
		return fmt.Errorf("0 to %d nodes", maxNodes)
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can make namespaces and cgroups")
	}
	// A name without a file: it goes away with the process, however that ends.
	lock, err := net.Listen("unix", "@"+string(c.cgroup()))
	if err != nil {
		return fmt.Errorf("another `up` is at work on %s: %w", c.dir, err)
	}
	defer lock.Close()
	begun := time.Now()
	if c.isUp(nodes) {
		fmt.Fprintf(os.Stderr, "testcluster: %s is up already\n", c.dir)
	} else if err := c.make(nodes); err != nil {
		if _, ours := os.Stat(c.path(marker)); ours != nil {
			return err
		}
		return fmt.Errorf("%w\nlogs are in %s; `testcluster down --dir %s` clears up", err, c.path("log"), c.dir)
	} else {
		fmt.Fprintf(os.Stderr, "testcluster: %d nodes up in %s after %.1f s\n", nodes, c.dir, time.Since(begun).Seconds())
	}
	fmt.Printf("export KUBECONFIG=%s\n", c.kubeconfig())
	return nil
}

func (c *cluster) isUp(nodes int) bool {
	made, err := os.ReadFile(c.path("nodes"))
	if err != nil || string(made) != strconv.Itoa(nodes) {
		return false
	}
	return c.ready(nodes) == nil
}

// ready says what the cluster still lacks.
func (c *cluster) ready(nodes int) error {
	if nodes == 0 {
		_, err := c.kubectl("get", "--raw", "/readyz")
		return err
	}
	arguments := []string{"wait", "--for=condition=Ready", "--timeout=1s"}
	for i := range nodes {
		arguments = append(arguments, "node/"+nodeName(i+1))
	}
	_, err := c.kubectl(arguments...)
	return err
}

func (c *cluster) make(nodes int) error {
	if err := c.down(); err != nil {
		return err
	}
	for _, folder := range []string{"", "log", "volumes"} {
		if err := os.MkdirAll(c.path(folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path(marker), nil, 0o644); err != nil {
		return err
	}
	if err := c.cgroup().join(); err != nil {
		return err
	}
	if nodes == 0 {
		if _, err := c.startControlPlane("127.0.0.1"); err != nil {
			return err
		}
	} else if err := c.makeWithNodes(nodes); err != nil {
		return err
	}
	return os.WriteFile(c.path("nodes"), []byte(strconv.Itoa(nodes)), 0o644)
}

func (c *cluster) makeWithNodes(nodes int) error {
	if err := c.makeBridge(nodes); err != nil {
		return err
	}
	ca, err := c.startControlPlane(hostAddress)
	if err != nil {
		return err
	}
	started := make([]*process, nodes)
	for i := range nodes {
		if started[i], err = c.startNode(ca, i+1); err != nil {
			return err
		}
	}
	if err := c.startAddons(); err != nil {
		return err
	}
	for i, process := range started {
		err := process.until(90*time.Second, nodeName(i+1)+" to be Ready", func() error { return c.ready(nodes) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) down() error {
	if left, err := os.ReadDir(c.dir); err == nil && len(left) > 0 {
		if _, err := os.Stat(c.path(marker)); err != nil {
			return fmt.Errorf("%s is not empty and no test cluster's folder", c.dir)
		}
	}
	// The nodes' mounts, namespaces and network go away with their processes.
	if err := c.cgroup().kill(); err != nil {
		return err
	}
	if err := errors.Join(c.cgroup().remove(), c.removeBridge(), c.unmount()); err != nil {
		return err
	}
	return os.RemoveAll(c.dir)
}

// unmount takes away what a test may have mounted below the folder, a small tmpfs as a full disk for example.
func (c *cluster) unmount() error {
	table, err := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(string(table), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], c.dir+"/") {
			err = errors.Join(err, syscall.Unmount(fields[1], syscall.MNT_DETACH))
		}
	}
	return err
}

func (c *cluster) kubeconfig() string { return c.path("admin.kubeconfig") }

func (c *cluster) kubectl(arguments ...string) (string, error) {
	return outputOf(cache("bin/kubectl"), append([]string{"--kubeconfig", c.kubeconfig()}, arguments...)...)
}
