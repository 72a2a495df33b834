package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// authority signs everyone's certificate, the API server's and the clients'.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// identity is a signed certificate with its key, both as PEM.
type identity struct{ certificate, key []byte }

func newAuthority() (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "testcluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, key, err := sign(template, template, nil)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

func (a *authority) pem() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// identity makes a client of this user name and group that can also serve under the given names and addresses.
func (a *authority) identity(user, group string, hosts ...string) (identity, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: []string{group}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, key, err := sign(template, a.certificate, a.key)
	if err != nil {
		return identity{}, err
	}
	private, err := encodeKey(key)
	return identity{encode("CERTIFICATE", der), private}, err
}

// sign makes a key pair and its certificate, self-signed without a signer.
func sign(template, parent *x509.Certificate, signer crypto.Signer) ([]byte, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if signer == nil {
		signer = key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(0, 0, 30)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	return der, key, err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encode("PRIVATE KEY", der), err
}

// kubeconfig writes how this user reaches the API server.
func (a *authority) kubeconfig(file, server, user, group string) error {
	who, err := a.identity(user, group)
	if err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	return os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: testcluster, cluster: {server: "%s", certificate-authority-data: %s}}]
users: [{name: "%s", user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: testcluster, context: {cluster: testcluster, user: "%[3]s"}}]
current-context: testcluster
`, server, b64(a.pem()), user, b64(who.certificate), b64(who.key)), 0o600)
}
