SELECT name, gives, format, family, date, ranges, rejected, licence, attribution, sha256
FROM sources
ORDER BY gives, name, sha256
