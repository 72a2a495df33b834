package main

import (
	"embed"
	"net"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

const (
	serviceRange = "10.96.0.0/16"
	dnsService   = "10.96.0.10" // as in manifests/dns.yaml
	dnsPort      = "53"
	ingressPort  = "80"
)

//go:embed config manifests
var files embed.FS

// render fills in a file of config/.
func render(name, to string, values any) error {
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer file.Close()
	return template.Must(template.ParseFS(files, "config/"+name)).Execute(file, values)
}

// startControlPlane starts etcd and the API server, which every cluster has.
func (c *cluster) startControlPlane(address string) (*authority, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	port := ports[0]
	if address == hostAddress {
		port = "6443"
	}
	server := "https://" + net.JoinHostPort(address, port)
	ca, err := c.writeKeys(address, server)
	if err != nil {
		return nil, err
	}
	etcd, peer := "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	if _, err := c.start("etcd", cache("bin/etcd"), "--name=testcluster", "--data-dir="+c.path("etcd"),
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=testcluster="+peer,
		"--unsafe-no-fsync", "--log-level=warn"); err != nil {
		return nil, err
	}
	policy := c.path("audit.yaml")
	if err := render("audit.yaml", policy, nil); err != nil {
		return nil, err
	}
	flags := []string{
		"--bind-address=" + address, "--secure-port=" + port, "--etcd-servers=" + etcd,
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + c.path("ca.crt"),
		"--tls-cert-file=" + c.path("apiserver.crt"), "--tls-private-key-file=" + c.path("apiserver.key"),
		"--kubelet-client-certificate=" + c.path("apiserver.crt"), "--kubelet-client-key=" + c.path("apiserver.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.path("serviceaccounts.crt"),
		"--service-account-signing-key-file=" + c.path("serviceaccounts.key"),
		// At most two files of that many MiB.
		"--audit-policy-file=" + policy, "--audit-log-path=" + c.path("log", "audit.log"),
		"--audit-log-maxsize=100", "--audit-log-maxbackup=1",
	}
	if address != hostAddress {
		// A loopback address is refused as the one to advertise; nothing uses this one.
		flags = append(flags, "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none")
	}
	apiserver, err := c.start("kube-apiserver", cache("bin/kube-apiserver"), flags...)
	if err != nil {
		return nil, err
	}
	return ca, apiserver.until(60*time.Second, "the API server to be ready", func() error { return c.ready(0) })
}

// writeKeys writes the certificates and keys, and a kubeconfig for every component.
func (c *cluster) writeKeys(address, server string) (*authority, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	apiserver, err := ca.identity("kube-apiserver", "system:masters", address, "localhost", "10.96.0.1", "kubernetes",
		"kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return nil, err
	}
	serviceAccounts, err := ca.identity("serviceaccounts", "")
	if err != nil {
		return nil, err
	}
	caKey, err := encodeKey(ca.key)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"ca.crt": ca.pem(), "ca.key": caKey,
		"apiserver.crt": apiserver.certificate, "apiserver.key": apiserver.key,
		"serviceaccounts.crt": serviceAccounts.certificate, "serviceaccounts.key": serviceAccounts.key,
	} {
		if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	for name, who := range map[string][2]string{
		"admin":                   {"testcluster-admin", "system:masters"},
		"kube-controller-manager": {"system:kube-controller-manager", ""},
		"kube-scheduler":          {"system:kube-scheduler", ""},
		"kube-proxy":              {"system:kube-proxy", ""},
	} {
		if err := ca.kubeconfig(c.path(name+".kubeconfig"), server, who[0], who[1]); err != nil {
			return nil, err
		}
	}
	return ca, os.WriteFile(c.path("server"), []byte(server), 0o644)
}

// startAddons starts what makes pods run and find one another, and waits until it serves.
func (c *cluster) startAddons() error {
	if _, err := c.start("kube-controller-manager", cache("bin/kube-controller-manager"),
		"--kubeconfig="+c.path("kube-controller-manager.kubeconfig"), "--use-service-account-credentials",
		"--service-account-private-key-file="+c.path("serviceaccounts.key"), "--root-ca-file="+c.path("ca.crt"),
		"--cluster-signing-cert-file="+c.path("ca.crt"), "--cluster-signing-key-file="+c.path("ca.key"),
		// A lost node is noticed three times as fast as by default; kubelet.yaml renews accordingly.
		"--node-monitor-grace-period=16s", "--node-monitor-period=2s",
		"--leader-elect=false", "--secure-port=0"); err != nil {
		return err
	}
	if _, err := c.start("kube-scheduler", cache("bin/kube-scheduler"),
		"--kubeconfig="+c.path("kube-scheduler.kubeconfig"), "--leader-elect=false", "--secure-port=0"); err != nil {
		return err
	}
	corefile := c.path("Corefile")
	if err := render("Corefile", corefile, map[string]string{
		"Address": hostAddress, "Port": dnsPort, "Kubeconfig": c.kubeconfig(),
	}); err != nil {
		return err
	}
	dns, err := c.start("coredns", cache("bin/coredns"), "-conf", corefile)
	if err != nil {
		return err
	}
	standins, err := c.start("standins", cache("bin/standins"), "--kubeconfig="+c.kubeconfig(),
		"--volumes="+c.path("volumes"), "--listen="+net.JoinHostPort(hostAddress, ingressPort))
	if err != nil {
		return err
	}
	if err := c.apply("manifests/dns.yaml", "manifests/standins.yaml"); err != nil {
		return err
	}
	if err := dns.until(30*time.Second, "the DNS server", answers(dnsPort)); err != nil {
		return err
	}
	if err := standins.until(30*time.Second, "the Ingress controller", answers(ingressPort)); err != nil {
		return err
	}
	return wait(30*time.Second, "the controller manager to make the default service account", func() error {
		_, err := c.kubectl("get", "serviceaccount", "default")
		return err
	})
}

func (c *cluster) apply(manifests ...string) error {
	var all []string
	for _, name := range manifests {
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, string(content))
	}
	// The API server makes the namespace kube-system shortly after it is ready.
	return wait(30*time.Second, "the API server to take the manifests", func() error {
		command := exec.Command(cache("bin/kubectl"), "--kubeconfig", c.kubeconfig(), "apply", "-f", "-")
		command.Stdin = strings.NewReader(strings.Join(all, "\n---\n"))
		_, err := output(command)
		return err
	})
}

// answers is a check that something accepts connections on the host's address.
func answers(port string) func() error {
	return func() error {
		connection, err := net.DialTimeout("tcp", net.JoinHostPort(hostAddress, port), time.Second)
		if err == nil {
			connection.Close()
		}
		return err
	}
}

// freePorts are ports of the loopback address that nobody listened on a moment ago.
func freePorts(count int) (ports []string, err error) {
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // all at the end, so that all differ
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}
