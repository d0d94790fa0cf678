package com.example.chat;

import java.io.InputStream;
import java.io.OutputStream;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStoreSpi;
import java.security.Provider;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Collections;
import java.util.Date;
import java.util.Enumeration;
import javax.crypto.KeyGenerator;
import javax.crypto.KeyGeneratorSpi;
import javax.crypto.SecretKey;

/** An Android Keystore with one key, in memory. */
public final class MemoryKeystore extends Provider {
    static SecretKey key;

    MemoryKeystore() {
        super("AndroidKeyStore", "1", "for tests");
        put("KeyStore.AndroidKeyStore", Keys.class.getName());
        put("KeyGenerator.AES", Generator.class.getName());
    }

    public static final class Generator extends KeyGeneratorSpi {
        protected void engineInit(SecureRandom random) {}
        protected void engineInit(AlgorithmParameterSpec spec, SecureRandom random) {}
        protected void engineInit(int size, SecureRandom random) {}

        protected SecretKey engineGenerateKey() {
            try {
                return key = KeyGenerator.getInstance("AES", "SunJCE").generateKey();
            } catch (GeneralSecurityException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    public static final class Keys extends KeyStoreSpi {
        public Key engineGetKey(String alias, char[] password) { return key; }
        public void engineLoad(InputStream stream, char[] password) {}
        public Certificate[] engineGetCertificateChain(String alias) { return null; }
        public Certificate engineGetCertificate(String alias) { return null; }
        public Date engineGetCreationDate(String alias) { return null; }
        public void engineSetKeyEntry(String alias, Key key, char[] password, Certificate[] chain) {}
        public void engineSetKeyEntry(String alias, byte[] key, Certificate[] chain) {}
        public void engineSetCertificateEntry(String alias, Certificate certificate) {}
        public void engineDeleteEntry(String alias) {}
        public Enumeration<String> engineAliases() { return Collections.emptyEnumeration(); }
        public boolean engineContainsAlias(String alias) { return key != null; }
        public int engineSize() { return 1; }
        public boolean engineIsKeyEntry(String alias) { return true; }
        public boolean engineIsCertificateEntry(String alias) { return false; }
        public String engineGetCertificateAlias(Certificate certificate) { return null; }
        public void engineStore(OutputStream stream, char[] password) {}
    }
}
